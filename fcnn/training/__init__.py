"""State, steps, optimizers, metrics, the loop, checkpoints."""

from fcnn.training.evaluate import evaluate, predict
from fcnn.training.fit import InterruptedRun, NonFiniteLossError, fit
from fcnn.training.freezing import by_path, freeze, label_parameters, match_parameters
from fcnn.training.losses import cross_entropy, kernel_penalty, smooth_labels
from fcnn.training.optimizers import make_optimizer, step_decay, warmup_cosine
from fcnn.training.pixels import make_prepare
from fcnn.training.state import TrainState, create_state
from fcnn.training.step import make_eval_step, make_predict_step, make_train_step, scan_steps

__all__ = [
    "InterruptedRun",
    "NonFiniteLossError",
    "TrainState",
    "by_path",
    "create_state",
    "cross_entropy",
    "evaluate",
    "fit",
    "freeze",
    "kernel_penalty",
    "label_parameters",
    "make_eval_step",
    "make_optimizer",
    "make_predict_step",
    "make_prepare",
    "make_train_step",
    "match_parameters",
    "predict",
    "scan_steps",
    "smooth_labels",
    "step_decay",
    "warmup_cosine",
]
