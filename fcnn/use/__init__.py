"""A network put to use: what it sees in a photo, the steps of a task, and the report of a run."""

from fcnn.use.classify import Classification, classify
from fcnn.use.conclude import Result, conclude_run
from fcnn.use.examine import examine_run
from fcnn.use.segment import segment
from fcnn.use.steps import make_eval_step, make_predict_step, make_train_step
from fcnn.use.weights import network_of

__all__ = [
    "Classification",
    "Result",
    "classify",
    "conclude_run",
    "examine_run",
    "make_eval_step",
    "make_predict_step",
    "make_train_step",
    "network_of",
    "segment",
]
