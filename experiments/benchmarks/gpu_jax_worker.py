"""Trains a network in JAX for gpu.py: python gpu_jax_worker.py CASE stock|fcnn|scan, and lines of gpu_cases.answer."""

import json
import math
import resource
import sys
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
import stock_networks
from gpu_cases import Case, answer

import fcnn

BATCHES = 4
# Steps in one call of `fcnn.scan_steps`.
SCANNED = 20


def noise(case: Case, count: int) -> fcnn.Split:
    """Returns so many images of noise."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, case.size, case.size, case.channels), np.uint8)
    return fcnn.Split(images, random.integers(0, case.classes, count).astype(np.int32))


def statistics_of(case: Case) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Returns the mean and the deviation that images are normalised with."""
    grey = case.channels == 1
    return ((0.1307,), (0.3081,)) if grey else ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def make_fcnn_step(case: Case):
    """Returns fcnn's step, and a function that makes its state."""
    model = fcnn.create_model(case.network, num_classes=case.classes, dtype=jnp.dtype(case.dtype))
    tx = fcnn.make_optimizer("sgd", 1e-3)
    step = fcnn.make_train_step(model, tx, prepare=fcnn.make_prepare(*statistics_of(case)))
    shape = (1, case.size, case.size, case.channels)
    return step, lambda: fcnn.create_state(model, tx, key=jax.random.key(0), input_shape=shape)


def fcnn_advance(case: Case, scanned: bool) -> tuple[Callable, Callable, int]:
    """Returns what makes the state, `(state, number) -> state`, and the steps that it does."""
    step, create = make_fcnn_step(case)
    images, labels = noise(case, BATCHES * case.batch_size)
    if scanned:
        several, examples = fcnn.scan_steps(step), jax.device_put({"image": images, "label": labels})
        indices = np.resize(np.arange(len(labels), dtype=np.int32), (SCANNED, case.batch_size))
        return create, lambda state, _: several(state, examples, indices)[0], SCANNED
    batches = [
        jax.device_put({"image": image, "label": label})
        for image, label in zip(np.split(images, BATCHES), np.split(labels, BATCHES), strict=True)
    ]
    return create, lambda state, number: step(state, batches[number % BATCHES])[0], 1


def stock_advance(case: Case) -> tuple[Callable, Callable, int]:
    """Returns the same of stock Flax, compiled by jax.jit."""
    model = stock_networks.NETWORKS[case.network](case.classes, dtype=jnp.dtype(case.dtype))
    tx = optax.sgd(1e-3, momentum=0.9)
    mean, deviation = (np.asarray(values, np.float32) for values in statistics_of(case))
    step = stock_networks.make_step(model, tx, lambda images: (images.astype(jnp.float32) / 255 - mean) / deviation)
    images, labels = noise(case, BATCHES * case.batch_size)
    batches = [
        (jax.device_put(image), jax.device_put(label))
        for image, label in zip(np.split(images, BATCHES), np.split(labels, BATCHES), strict=True)
    ]
    zeros = jnp.zeros((1, case.size, case.size, case.channels))

    def create():
        return stock_networks.begin(model, tx, zeros)

    return create, lambda state, number: step(*state, *batches[number % BATCHES])[:3], 1


def peak_mib() -> float | None:
    """Returns the most memory that the device gave to this process until now, or the process had, on a CPU."""
    in_use = (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    if in_use is None:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return in_use / 2**20


def main(text: str, who: str) -> None:
    """Answers until there are no more lines."""
    case = Case(**json.loads(text))
    if case.is_highest:
        jax.config.update("jax_default_matmul_precision", "highest")
    if who != "stock":
        fcnn.keep_freed_memory()
    state, done = None, 0

    def begin():
        nonlocal state, advance, steps_per_call
        # A device takes seconds to wake up, which no network can help.
        jax.block_until_ready(jnp.zeros(8) + 1)
        create, advance, steps_per_call = stock_advance(case) if who == "stock" else fcnn_advance(case, who == "scan")
        start = time.perf_counter()
        state = jax.block_until_ready(create())
        created = time.perf_counter()
        state = jax.block_until_ready(advance(state, 0))
        end = time.perf_counter()
        return {"create_state_seconds": created - start, "first_step_seconds": end - created}

    def run(steps):
        nonlocal state, done
        calls = math.ceil(steps / steps_per_call)
        for _ in range(calls):
            done += 1
            state = advance(state, done)
        jax.block_until_ready(state)
        return calls * steps_per_call

    def advance(state, _):
        return state

    steps_per_call = 1
    answer(begin, run, peak_mib)


if __name__ == "__main__":
    main(*sys.argv[1:])
