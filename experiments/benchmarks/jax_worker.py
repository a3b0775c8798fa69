"""Trains a network in JAX, a round for each line of the standard input: one of throughput.py's processes.

python experiments/benchmarks/jax_worker.py NETWORK[@SIZExBATCH] stock|fcnn|augmented|returning [float32|bfloat16]

All but stock Flax and `returning` keep the memory that they free, as the experiments do.
"""

import itertools
import sys
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import stock_networks
from workloads import answer_each_line, workload_of

import fcnn
from fcnn.training.compiling import compile_ahead
from fcnn.training.fetch import fetch


def examples_of(network: str) -> fcnn.Split:
    """Returns the examples of a round: digits for LeNet, which are padded to 32x32, noise for the others."""
    name, load = workload_of(network)
    count = load.steps * load.batch_size
    if name == "lenet":
        return fcnn.Split(*(array[:count] for array in fcnn.load_dataset("mnist").train))
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, load.size, load.size, load.channels), np.uint8)
    return fcnn.Split(images, random.integers(0, load.classes, count).astype(np.int32))


def stock_round(network: str) -> Callable[[], None]:
    """Returns a function that does a round of steps in stock Flax, one call a step."""
    (name, load), split = workload_of(network), examples_of(network)
    model, tx = stock_networks.NETWORKS[name](load.classes), optax.adam(1e-3)
    images, room = split.images / np.float32(255), (load.size - split.images.shape[1]) // 2
    images = np.pad(images, ((0, 0), (room, room), (room, room), (0, 0)))
    batches = list(jnp.asarray(images).reshape(load.steps, load.batch_size, *images.shape[1:]))
    labels = list(jnp.asarray(split.labels).reshape(load.steps, load.batch_size))
    step, state = stock_networks.make_step(model, tx), stock_networks.begin(model, tx, batches[0][:1])

    def run():
        for batch, label in zip(batches, labels, strict=True):
            *state[:], _ = step(*state, batch, label)
        jax.block_until_ready(state)

    return run


def fcnn_round(network: str, dtype: str = "float32", augment: Callable | None = None) -> Callable[[], None]:
    """Returns a function that does a round of steps of fcnn, from pixels on the device."""
    (name, load), split = workload_of(network), examples_of(network)
    model = fcnn.create_model(name, num_classes=load.classes, dtype=jnp.dtype(dtype))
    tx = fcnn.make_optimizer("adam", 1e-3)
    mean, std = ((0.1307,), (0.3081,)) if load.channels == 1 else ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    prepare = fcnn.make_prepare(mean, std, size=(load.size, load.size))
    steps = fcnn.scan_steps(fcnn.make_train_step(model, tx, prepare=prepare, augment=augment))
    examples = {"image": jnp.asarray(split.images), "label": jnp.asarray(split.labels)}
    indices = np.arange(len(split.labels), dtype=np.int32).reshape(load.steps, load.batch_size)
    # LeNet's steps are so short that they are done in one call.
    calls = [indices] if name == "lenet" else list(indices[:, None])
    shape = (1, load.size, load.size, load.channels)
    state = [fcnn.create_state(model, tx, key=jax.random.key(0), input_shape=shape)]
    compile_ahead(steps, *state, examples, calls[0])

    def metrics_of_calls():
        for call in itertools.cycle(calls):
            state[0], metrics = steps(state[0], examples, call)
            yield metrics

    # As in `fcnn.fit`.
    results = fetch(metrics_of_calls())

    def run():
        for _ in calls:
            next(results)

    return run


def pixels_round(network: str, dtype: str = "float32") -> Callable[[], None]:
    """Returns a function that does a round of steps of a network that labels pixels, by SGD, one call a step."""
    (name, load), random = workload_of(network), np.random.default_rng(0)
    model = fcnn.create_model(name, num_classes=load.classes, dtype=jnp.dtype(dtype))
    tx = optax.sgd(0.01, momentum=0.9)
    shape = (load.steps, load.batch_size, load.size, load.size)
    images = jnp.asarray(random.standard_normal((*shape, load.channels), np.float32))
    labels = jnp.asarray(random.integers(0, load.classes, shape))
    variables = jax.jit(partial(model.init, train=False))(jax.random.key(0), images[0, :1])

    def loss_of(params, statistics, images, labels, key):
        outputs, updates = model.apply(
            {"params": params, "batch_stats": statistics},
            images, train=True, rngs={"dropout": key}, mutable=["batch_stats"],
        )  # fmt: skip
        losses = [
            optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
            for logits in (outputs.logits, *outputs.auxiliary)
        ]
        return sum(w * loss for w, loss in zip((1, *outputs.weights), losses, strict=True)), updates["batch_stats"]

    @partial(fcnn.jit, donate_argnums=(0, 1, 2))
    def step(params, statistics, opt_state, images, labels, key):
        (loss, statistics), gradients = jax.value_and_grad(loss_of, has_aux=True)(
            params, statistics, images, labels, key
        )
        updates, opt_state = tx.update(gradients, opt_state, params)
        return optax.apply_updates(params, updates), statistics, opt_state, loss

    state = [variables["params"], variables["batch_stats"], tx.init(variables["params"])]

    def run():
        for i in range(load.steps):
            *state[:], _ = step(*state, images[i], labels[i], jax.random.key(i))
        jax.block_until_ready(state)

    return run


def main(network: str, kind: str, dtype: str = "float32") -> None:
    """Answers each line with a line, after a round."""
    affine = fcnn.augment.random_affine(rotation=8, shear=8, scale=(0.9, 1.1), translation=1.5)
    if kind == "stock":
        run = stock_round(network)
    else:
        if kind != "returning":
            fcnn.keep_freed_memory()
        if workload_of(network)[1].labels_pixels:
            run = pixels_round(network, dtype)
        else:
            run = fcnn_round(network, dtype, affine if kind == "augmented" else None)
    answer_each_line(run, sys.stdin)


if __name__ == "__main__":
    main(*sys.argv[1:])
