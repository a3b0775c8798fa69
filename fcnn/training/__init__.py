"""State, steps, optimizers, metrics, the loop; handed a model, a task and batches."""

from fcnn.training.contracts import Loader, Model, TaskContract
from fcnn.training.evaluate import evaluate, measure_examples, padded_batches, predict, without_padding
from fcnn.training.evaluation_step import EvalStep, build_eval_step
from fcnn.training.fit import NonFiniteLossError, fit
from fcnn.training.freezing import by_path, freeze, label_parameters, match_parameters
from fcnn.training.interruption import InterruptedRun
from fcnn.training.metrics import add_sums, finish, formats_of, shown
from fcnn.training.optimizers import make_optimizer, poly_decay, step_decay, warmup_cosine
from fcnn.training.penalties import kernel_penalty
from fcnn.training.pixels import make_prepare
from fcnn.training.state import TrainState, create_state
from fcnn.training.step import TrainStep, build_train_step, scan_steps

__all__ = [
    "EvalStep",
    "InterruptedRun",
    "Loader",
    "Model",
    "NonFiniteLossError",
    "TaskContract",
    "TrainState",
    "TrainStep",
    "add_sums",
    "build_eval_step",
    "build_train_step",
    "by_path",
    "create_state",
    "evaluate",
    "finish",
    "fit",
    "formats_of",
    "freeze",
    "kernel_penalty",
    "label_parameters",
    "make_optimizer",
    "make_prepare",
    "match_parameters",
    "measure_examples",
    "padded_batches",
    "poly_decay",
    "predict",
    "scan_steps",
    "shown",
    "step_decay",
    "warmup_cosine",
    "without_padding",
]
