"""Trains a network in PyTorch for gpu.py: python gpu_torch_worker.py CASE eager|compile, and lines of gpu_cases.answer.

In channels_last, in bfloat16 by autocast, in float32 with TF32 unless the highest precision is asked for.
"""

import json
import resource
import sys
import time

import torch
from gpu_cases import Case, answer
from torch import nn
from torch_networks import NETWORKS

BATCHES = 4


def main(text: str, who: str) -> None:
    """Answers until there are no more lines."""
    case = Case(**json.loads(text))
    device = torch.device("cpu" if case.platform == "cpu" else "cuda")
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = not case.is_highest
    model = optimizer = batches = mean = deviation = None
    done = 0

    def begin():
        nonlocal model, optimizer, batches, mean, deviation
        grey, shape = case.channels == 1, (1, case.channels, 1, 1)
        mean = torch.tensor([0.1307] if grey else [0.485, 0.456, 0.406], device=device).view(shape)
        deviation = torch.tensor([0.3081] if grey else [0.229, 0.224, 0.225], device=device).view(shape)
        pixels = (BATCHES, case.batch_size, case.channels, case.size, case.size)
        images = torch.randint(0, 256, pixels, dtype=torch.uint8, device=device)
        labels = torch.randint(0, case.classes, pixels[:2], device=device)
        batches = list(zip(images, labels, strict=True))
        synchronize()
        start = time.perf_counter()
        model = NETWORKS[case.network](case.classes).to(device, memory_format=torch.channels_last)
        if who == "compile":
            model = torch.compile(model)
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
        synchronize()
        created = time.perf_counter()
        run(1)
        end = time.perf_counter()
        return {"create_state_seconds": created - start, "first_step_seconds": end - created}

    def run(steps):
        nonlocal done
        for _ in range(steps):
            done += 1
            step(*batches[done % BATCHES])
        synchronize()
        return steps

    def step(images, labels):
        images = (images.float() / 255 - mean) / deviation
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=case.dtype == "bfloat16"):
            logits = model(images.contiguous(memory_format=torch.channels_last))
        nn.functional.cross_entropy(logits.float(), labels).backward()
        optimizer.step()

    def synchronize():
        if device.type == "cuda":
            torch.cuda.synchronize()

    def peak():
        if device.type == "cuda":
            return torch.cuda.max_memory_allocated() / 2**20
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)

    answer(begin, run, peak)


if __name__ == "__main__":
    main(*sys.argv[1:])
