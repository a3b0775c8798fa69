"""Functional convolutional networks in JAX and Flax."""

from fcnn import augment, data, models, ops, parallel, report, training
from fcnn.command_line import run_experiment
from fcnn.data import Dataset, Loader, Split, balanced_subset, channel_statistics, load_dataset
from fcnn.errors import InputError
from fcnn.models import capture, create_model, layer_table, list_models, summary
from fcnn.parallel import make_mesh
from fcnn.report import report_run
from fcnn.training import (
    TrainState,
    create_state,
    evaluate,
    fit,
    load_checkpoint,
    make_eval_step,
    make_optimizer,
    make_predict_step,
    make_prepare,
    make_train_step,
    open_run,
    predict,
    scan_steps,
    warmup_cosine,
)

__all__ = [
    "Dataset",
    "InputError",
    "Loader",
    "Split",
    "TrainState",
    "augment",
    "balanced_subset",
    "capture",
    "channel_statistics",
    "create_model",
    "create_state",
    "data",
    "evaluate",
    "fit",
    "layer_table",
    "list_models",
    "load_checkpoint",
    "load_dataset",
    "make_eval_step",
    "make_mesh",
    "make_optimizer",
    "make_predict_step",
    "make_prepare",
    "make_train_step",
    "models",
    "open_run",
    "ops",
    "parallel",
    "predict",
    "report",
    "report_run",
    "run_experiment",
    "scan_steps",
    "summary",
    "training",
    "warmup_cosine",
]
