"""Functional convolutional networks in JAX and Flax."""

from typing import TYPE_CHECKING

from fcnn.lazy import lazy_exports

if TYPE_CHECKING:
    from fcnn import augment, data, models, ops, parallel, pretrained, report, tasks, training
    from fcnn.commands import run_experiment
    from fcnn.data import (
        Dataset,
        FolderLoader,
        Loader,
        MaskLoader,
        Split,
        balanced_subset,
        channel_statistics,
        load_dataset,
    )
    from fcnn.errors import InputError
    from fcnn.machine import jit, keep_freed_memory
    from fcnn.models import (
        Body,
        FrozenNorms,
        Head,
        body_layers,
        capture,
        create_model,
        layer_table,
        list_models,
        replace_head,
        summary,
    )
    from fcnn.parallel import make_mesh
    from fcnn.pretrained import convert_torchvision, export_torchvision, load_pretrained, preprocess
    from fcnn.report import report_run
    from fcnn.runs import load_checkpoint, open_run
    from fcnn.training import (
        TrainState,
        by_path,
        create_state,
        evaluate,
        fit,
        freeze,
        make_optimizer,
        make_prepare,
        match_parameters,
        poly_decay,
        predict,
        scan_steps,
        step_decay,
        warmup_cosine,
    )
    from fcnn.use import Result, conclude_run, examine_run, make_eval_step, make_predict_step, make_train_step

__version__ = "0.1.0"

__all__ = [
    "Body",
    "Dataset",
    "FolderLoader",
    "FrozenNorms",
    "Head",
    "InputError",
    "Loader",
    "MaskLoader",
    "Result",
    "Split",
    "TrainState",
    "augment",
    "balanced_subset",
    "body_layers",
    "by_path",
    "capture",
    "channel_statistics",
    "conclude_run",
    "convert_torchvision",
    "create_model",
    "create_state",
    "data",
    "evaluate",
    "examine_run",
    "export_torchvision",
    "fit",
    "freeze",
    "jit",
    "keep_freed_memory",
    "layer_table",
    "list_models",
    "load_checkpoint",
    "load_dataset",
    "load_pretrained",
    "make_eval_step",
    "make_mesh",
    "make_optimizer",
    "make_predict_step",
    "make_prepare",
    "make_train_step",
    "match_parameters",
    "models",
    "open_run",
    "ops",
    "parallel",
    "poly_decay",
    "predict",
    "preprocess",
    "pretrained",
    "replace_head",
    "report",
    "report_run",
    "run_experiment",
    "scan_steps",
    "step_decay",
    "summary",
    "tasks",
    "training",
    "warmup_cosine",
]

__getattr__, __dir__ = lazy_exports(__name__)
