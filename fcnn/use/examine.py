"""The report of a trained network: what it gives for a set, through its own steps, drawn into the run's folder."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from fcnn import report
from fcnn.arrays import named_arrays
from fcnn.parallel import is_main_process
from fcnn.training import TrainState, predict
from fcnn.training.evaluate import Examples
from fcnn.training.pixels import Prepare
from fcnn.use.anatomy import anatomy, as_bytes
from fcnn.use.steps import make_predict_step


def examine_run(
    run_folder: str | Path,
    model: Any,
    state: TrainState,
    examples: Examples,
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
    """Writes `report.html` of a classifier: curves, confusion, mistakes, first kernels, the way of one example.

    `conclude_run` does that for every task, and looks at the test set once for the numbers and the report.

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
    run_folder, arrays = Path(run_folder), named_arrays(examples)
    predict_batch = predict_batch or make_predict_step(model, prepare=prepare, mesh=mesh)
    logits = predict(state, predict_batch, arrays, batch_size=batch_size, mesh=mesh)
    if not is_main_process():
        return run_folder / "report.html"
    network = anatomy(model, jax.device_get(state.evaluation_variables), prepare, arrays["image"][0])
    return report.report_run(
        run_folder,
        title=title,
        facts=network.facts,
        class_names=class_names,
        images=as_bytes(arrays["image"]),
        labels=np.asarray(arrays["label"]),
        logits=logits,
        kernels=network.kernels,
        feature_maps=network.feature_maps,
        shown=shown,
        examined=examined,
    )
