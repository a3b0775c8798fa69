"""The report of a trained network: what it gives for a set, through its own steps, drawn into the run's folder."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float, PyTree

from fcnn.data import Split
from fcnn.models import capture, layer_table
from fcnn.parallel import is_main_process
from fcnn.report import report_run
from fcnn.training import TrainState, predict
from fcnn.training.pixels import Prepare, to_unit_range
from fcnn.use.steps import make_predict_step


def examine_run(
    run_folder: str | Path,
    model: Any,
    state: TrainState,
    examples: Split,
    *,
    title: str,
    class_names: Sequence[str],
    prepare: Prepare,
    predict_batch: Callable | None = None,
    shown: int = 0,
    examined: str = "test images",
    batch_size: int = 250,
    mesh: Mesh | None = None,
) -> Path:
    """Writes `report.html` of a run: curves, confusion, mistakes, first kernels, the way of one example.

    Args:
        run_folder: folder of the run.
        model: the network.
        state: its state after training.
        examples: what it is examined on, such as `dataset.test`; the first one is followed through the layers.
        title: of the page.
        class_names: names of the classes.
        prepare: as in the steps.
        predict_batch: what gives the logits, such as `evaluate_batch.predict`, which is compiled already if the batch
            size is that of the evaluation; None makes one.
        shown: number of examples to show with their predictions, evenly spaced in the set.
        examined: what the examples are.
        batch_size: examples a call.
        mesh: the mesh that holds the state.

    Returns:
        The path of the page.
    """
    run_folder = Path(run_folder)
    predict_batch = predict_batch or make_predict_step(model, prepare=prepare, mesh=mesh)
    logits = predict(state, predict_batch, examples, batch_size=batch_size, mesh=mesh)
    page = run_folder / "report.html"
    if not is_main_process():
        return page
    variables = jax.device_get(state.evaluation_variables)
    pixels = np.asarray(examples.images[:1])

    def network_input(pixels):
        return prepare(to_unit_range(pixels))

    # It runs once, on one image: compiled with less effort, it is there sooner.
    @partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
    def features_of(variables, pixels):
        return capture(model, variables, network_input(pixels))

    features = jax.device_get(features_of(variables, pixels))
    input_shape = jax.eval_shape(network_input, pixels).shape
    layers = layer_table(model, input_shape)
    # A compiled function returns its dictionary sorted by name, the layers are drawn as they follow each other.
    order = dict.fromkeys(layer.name.split("/")[0] for layer in layers if layer.kind != "Dropout")
    weights = sum(layer.parameters for layer in layers)
    operations = sum(layer.multiply_adds for layer in layers)
    return report_run(
        run_folder,
        title=title,
        facts={"Network": f"{type(model).__name__}, {weights:,} parameters, {operations:,} multiply-adds an image"},
        class_names=class_names,
        images=_bytes(examples.images),
        labels=examples.labels,
        logits=logits,
        kernels=_first_kernels(layers, variables["params"], input_shape[1:]),
        feature_maps={name: np.asarray(features[name], np.float32)[0] for name in order if name in features},
        shown=shown,
        examined=examined,
    )


def _first_kernels(
    layers: Sequence, params: PyTree, image_shape: Sequence[int]
) -> Float[np.ndarray, "kernel_height kernel_width in_channel out_channel"] | None:
    """Returns the first layer's kernels, those of a fully connected one in the shape of the image; None of another."""
    first = next((layer for layer in layers if "kernel" in layer.variables), None)
    if first is None:
        return None
    for name in first.name.split("/"):
        params = params[name]
    kernel = params["kernel"]
    if kernel.ndim == 2 and len(kernel) == math.prod(image_shape):
        return kernel.reshape(*image_shape, -1)
    return kernel if kernel.ndim == 4 and kernel.shape[2] == image_shape[-1] else None


def _bytes(images: np.ndarray) -> np.ndarray:
    """Returns pixels from 0 to 255."""
    images = np.asarray(images)
    return images if images.dtype == np.uint8 else (255 * np.clip(images, 0, 1)).round().astype(np.uint8)
