"""Two checks of gpu.py, each in a process of its own: python gpu_checks.py goldens|input CASE; prints one line of JSON.

`goldens` compares logits with PyTorch's, which are stored among the tests. `input` asks whether the next batch comes to
the device while it computes.
"""

import importlib
import json
import sys
import time
from pathlib import Path

import jax
import numpy as np
from gpu_cases import Case, say
from gpu_jax_worker import make_fcnn_step, noise

import fcnn

TESTS = Path(__file__).parents[2] / "tests"


def golden_errors(network: str) -> dict[str, float]:
    """Returns the largest difference of logits to a golden, over the largest logit, by precision."""
    sys.path.insert(0, str(TESTS))
    of_tests = importlib.import_module("golden_weights")
    goldens = of_tests.GOLDENS / "torchvision"
    shapes, golden = json.loads((goldens / f"{network}.keys.json").read_text()), np.load(goldens / f"{network}.npz")
    variables = fcnn.convert_torchvision(network, {key: of_tests.weight(key, shape) for key, shape in shapes.items()})
    size, model = int(golden["input_size"]), fcnn.create_model(network)
    images = np.random.default_rng(0).standard_normal((int(golden["batch"]), size, size, 3)).astype(np.float32)
    errors = {}
    for name, precision in (("float32 highest", "highest"), ("float32", None)):
        with jax.default_matmul_precision(precision):
            logits = jax.jit(lambda variables, images: model.apply(variables, images, train=False))(variables, images)
        errors[name] = float(of_tests.relative_error(np.asarray(logits), golden["logits"]))
    return errors


def input_times(case: Case, steps: int) -> dict[str, float]:
    """Returns the milliseconds of a step on batches that are on the device, of a batch on its way, and of both.

    A batch on its way is gathered by the loader and copied. "streamed" and "resident" are steps of `fcnn.fit`, whose
    set is on the host, and on the device.
    """
    step, create = make_fcnn_step(case)
    split = noise(case, steps * case.batch_size)
    loader = fcnn.Loader(split, case.batch_size, seed=0)
    state, batches = create(), list(loader.batches(0))
    start = time.perf_counter()
    for batch in loader.batches(1):
        jax.block_until_ready(jax.device_put(dict(batch)))
    copied = time.perf_counter() - start
    batch = jax.device_put(dict(batches[0]))
    state, _ = jax.block_until_ready(step(state, batch))
    start = time.perf_counter()
    for _ in range(steps):
        state, _ = step(state, batch)
    jax.block_until_ready(state)
    times = {"compute": (time.perf_counter() - start) / steps, "input": copied / steps}
    for name, bytes_on_device in (("streamed", 0), ("resident", 2**40)):
        # The first epoch compiles.
        _, rows = fcnn.fit(create(), step, loader, epochs=3, resident_bytes=bytes_on_device)
        times[name] = case.batch_size / max(row["images_per_second"] for row in rows[1:])
    overlap = (times["compute"] + times["input"] - times["streamed"]) / min(times["compute"], times["input"])
    return {name: 1e3 * seconds for name, seconds in times.items()} | {"overlap": min(1.0, max(0.0, overlap))}


def main(what: str, text: str) -> None:
    """Prints what a check finds."""
    case = Case(**json.loads(text))
    say(golden_errors(case.network) if what == "goldens" else input_times(case, 4 if case.platform == "cpu" else 16))


if __name__ == "__main__":
    main(*sys.argv[1:])
