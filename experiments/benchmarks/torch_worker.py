"""Trains LeNet in PyTorch, a round for each line of the standard input: throughput.py's other process."""

import sys

import torch
from torch import nn


def main(steps: int, batch_size: int) -> None:
    """Does rounds of steps on random digits, and answers each line with a line."""
    model = nn.Sequential(
        nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 120, 5), nn.ReLU(), nn.Flatten(),
        nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    ).to(memory_format=torch.channels_last)  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    images = torch.rand(steps, batch_size, 1, 32, 32)
    labels = torch.randint(0, 10, (steps, batch_size))
    for _ in sys.stdin:
        for image, label in zip(images, labels, strict=True):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(image.to(memory_format=torch.channels_last)), label)
            loss.backward()
            optimizer.step()
        print(loss.item(), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
