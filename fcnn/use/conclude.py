"""The end of a run: the test set is looked at once, for the numbers and for the report."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax
from rich.console import Console

from fcnn.errors import InputError
from fcnn.files import write_file
from fcnn.parallel import is_main_process
from fcnn.training import EvalStep, TrainState, finish, formats_of, measure_examples, shown
from fcnn.training.evaluate import Examples
from fcnn.use.anatomy import Anatomy, anatomy
from fcnn.use.findings import findings_of

RESULTS = "test.json"


class Result(NamedTuple):
    """What a run reached on its test set.

    Attributes:
        metrics: the metrics by name.
        formats: how those that matter are written, such as {"top1": "top-1 {:.2%}"}.
    """

    metrics: dict[str, float]
    formats: dict[str, str]


def conclude_run(
    run_folder: str | Path,
    state: TrainState,
    evaluation: EvalStep,
    test: Examples,
    *,
    title: str,
    class_names: Sequence[str] = (),
    shown_examples: int = 0,
    examined: str = "test images",
    batch_size: int = 250,
    console: Console | None = None,
) -> Result:
    """Evaluates a run on its test set, and writes `test.json` and `report.html` with what the task shows.

    Args:
        run_folder: folder of the run.
        state: its state after training.
        evaluation: its evaluation step, such as `step.evaluation`.
        test: the test examples; the first one is followed through the layers.
        title: of the page.
        class_names: names of the classes, where the task has some.
        shown_examples: number of examples to show with their predictions, evenly spaced in the set, by a task whose
            report does not show examples anyway.
        examined: what the examples are.
        batch_size: examples a call.
        console: where to print what was reached; None prints nothing.

    Raises:
        InputError: if the examples do not fit the task, or the folder cannot be written.
    """
    run_folder, task = Path(run_folder), evaluation.task
    findings = findings_of(task, class_names, shown_examples, examined)
    totals, records = measure_examples(state, evaluation, test, batch_size=batch_size, visit=findings.visit)
    metrics = finish(task, totals, records)
    result = Result(metrics, formats_of(task, metrics))
    if not is_main_process():
        return result
    try:
        write_file(run_folder / RESULTS, json.dumps({"examined": examined, "metrics": metrics}, indent=2) + "\n")
    except OSError as error:
        raise InputError(f"{run_folder / RESULTS} cannot be written: {error.strerror}") from error
    image, network = findings.first_image(), Anatomy()
    if image is not None:
        network = anatomy(evaluation.model, jax.device_get(state.evaluation_variables), evaluation.prepare, image)
    page = findings.report(run_folder, title, network, metrics, totals)
    if console is not None:
        console.print(f"{examined}: {shown(task, metrics)}, report in {page}")
    return result
