"""Trains a network in PyTorch, a round for each line of the standard input: throughput.py's other process."""

import sys

import torch
from torch import nn
from torch_networks import NETWORKS
from workloads import answer_each_line, workload_of


def loss_of(outputs: torch.Tensor | dict[str, torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
    """Returns the mean cross-entropy, with half of the auxiliary head's where there is one."""
    if isinstance(outputs, torch.Tensor):
        return nn.functional.cross_entropy(outputs, labels)
    return loss_of(outputs["out"], labels) + 0.5 * loss_of(outputs["aux"], labels)


def main(network: str) -> None:
    """Does rounds of steps on random images, and answers each line with a line."""
    name, load = workload_of(network)
    model = NETWORKS[name](load.classes).to(memory_format=torch.channels_last)
    if load.labels_pixels:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    else:
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    images = torch.rand(load.steps, load.batch_size, load.channels, load.size, load.size)
    labels = torch.randint(0, load.classes, (load.steps, load.batch_size, *load.label_shape))

    def run():
        for image, label in zip(images, labels, strict=True):
            optimizer.zero_grad()
            loss_of(model(image.to(memory_format=torch.channels_last)), label).backward()
            optimizer.step()

    answer_each_line(run, sys.stdin)


if __name__ == "__main__":
    main(sys.argv[1])
