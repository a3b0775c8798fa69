"""The evaluation step: a compiled function from (state, batch) to predictions, and to sums of metrics."""

from collections.abc import Callable
from functools import partial

from jax.sharding import Mesh
from jaxtyping import PyTree

from fcnn.arrays import as_they_are
from fcnn.errors import InputError
from fcnn.training.batch import Batch, Metrics, refuse_unasked
from fcnn.training.compiling import compile_for
from fcnn.training.contracts import Model, TaskContract
from fcnn.training.inputs import check_values, evaluation_inputs
from fcnn.training.pixels import Prepare
from fcnn.training.state import TrainState
from fcnn.training.sums import metric_sums


class EvalStep:
    """`(state, batch) -> metrics` in compiled parts: those who need the predictions too call the parts.

    Attributes:
        model: the network.
        task: what is measured.
        prepare: from images in 0..1 to the network's input; None leaves them.
        mesh: where the batch is split; None leaves the placement to the arrays.
    """

    def __init__(
        self,
        model: Model,
        task: TaskContract,
        prepare: Prepare | None,
        mesh: Mesh | None,
        platform: str | None,
        forward: Callable,
        measure: Callable,
        record: Callable | None,
        asked: set[str],
    ):
        """Takes what it is made of, the functions to compile, and the set of names that they note when traced."""
        self.model, self.task, self.prepare, self.mesh, self._asked = model, task, prepare, mesh, asked
        compiled = partial(compile_for, mesh, platform=platform)
        self._forward, self._measure = compiled(forward), compiled(measure)
        self._predictions = task.predict if task.predict is as_they_are else compiled(task.predict)
        self._record = None if record is None else compiled(record)

    def __call__(self, state: TrainState, batch: Batch) -> Metrics:
        """Returns the sums of the metrics over a batch.

        Raises:
            InputError: if the batch is not what the task takes.
        """
        check_values(self.task, batch)
        return self.measure(self.outputs(state, batch), batch)

    def outputs(self, state: TrainState, batch: Batch) -> PyTree:
        """Returns what the network gives for a batch."""
        return self._forward(state, batch)

    def predict(self, state: TrainState, batch: Batch) -> PyTree:
        """Returns the task's predictions for a batch, such as logits."""
        return self.predictions(self.outputs(state, batch))

    def predictions(self, outputs: PyTree) -> PyTree:
        """Returns the task's predictions from what the network gave."""
        return self._predictions(outputs)

    def measure(self, outputs: PyTree, batch: Batch) -> Metrics:
        """Returns the sums of the metrics from what the network gave.

        Raises:
            InputError: if the batch has entries that nothing reads.
        """
        sums = self._measure(outputs, batch)
        refuse_unasked(batch, self._asked)
        return sums

    def record(self, outputs: PyTree, batch: Batch) -> PyTree:
        """Returns the task's records of a batch.

        Raises:
            InputError: if the task has none.
        """
        if self._record is None:
            raise InputError(f"the task {self.task.name} keeps no records: give it record, or do not ask for them")
        return self._record(outputs, batch)


def build_eval_step(
    model: Model,
    task: TaskContract,
    *,
    prepare: Prepare | None = None,
    mesh: Mesh | None = None,
    platform: str | None = None,
) -> EvalStep:
    """Returns the evaluation step of a task; see `fcnn.make_eval_step`, which says what the arguments are."""
    asked: set[str] = set()

    def forward(state, batch):
        inputs = evaluation_inputs(batch, prepare, asked)
        outputs, _ = task.apply(model, state.evaluation_variables, inputs, train=False, rngs={})
        return outputs

    def measure(outputs, batch):
        return metric_sums(task, outputs, evaluation_inputs(batch, prepare, asked), train=False)

    recording = _recording(task, prepare, asked)
    return EvalStep(model, task, prepare, mesh, platform, forward, measure, recording, asked)


def _recording(task, prepare, asked):
    """Returns `(outputs, batch) -> records`, or None for a task without."""
    record_of = task.record
    if record_of is None:
        return None

    def record(outputs, batch):
        return record_of(task.predict(outputs), evaluation_inputs(batch, prepare, asked))

    return record
