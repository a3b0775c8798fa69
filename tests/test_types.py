"""What the parts of the library ask of each other, as `fcnn.training.contracts` and its like name it.

pyright compares the types themselves, in CI; what a check at run time sees is that every name is there.
"""

import importlib.resources
from pathlib import Path

import numpy as np
import pytest

import fcnn
from fcnn.arrays import EvaluationBatches
from fcnn.data import FolderLoader, ImageFiles, MaskEvaluation, MaskFiles, MaskLoader
from fcnn.runs.checkpoints import State
from fcnn.training.contracts import Loader, Model, ResidentLoader, TaskContract

LABELS = np.zeros(1, np.int32)
FILES = ImageFiles((Path("photo.jpg"),), LABELS)
MASKS = MaskFiles((Path("photo.jpg"),), (Path("mask.png"),), np.array([[8, 8]], np.int32))


@pytest.mark.parametrize(
    ("loader", "is_resident"),
    [
        (fcnn.Loader((np.zeros((1, 8, 8, 1), np.uint8), LABELS), 1), True),
        (FolderLoader(FILES, 1), False),
        (MaskLoader(MASKS, 1), False),
    ],
)
def test_loaders_are_loaders_and_one_has_its_examples_at_hand(loader, is_resident):
    assert isinstance(loader, Loader)
    assert isinstance(loader, ResidentLoader) == is_resident


def test_a_loader_that_cannot_make_batches_is_one_nevertheless():
    """Its error is for the user, who would otherwise read that a type is wrong."""
    empty = fcnn.Loader((np.zeros((0, 8, 8, 1), np.uint8), LABELS[:0]), 1)
    assert isinstance(empty, Loader)
    with pytest.raises(fcnn.InputError):
        empty.steps_per_epoch  # noqa: B018


@pytest.mark.parametrize("task", [fcnn.tasks.classification(), fcnn.tasks.segmentation(3)])
def test_tasks_keep_the_contract(task):
    assert isinstance(task, TaskContract)
    # No entry of a task that training asks for is missing in the contract, and none is there that no task has.
    asked = {name for name in vars(TaskContract) if not name.startswith("_")}
    assert asked == set(task._fields)


def test_networks_are_models_and_their_states_can_be_saved(key):
    model, tx = fcnn.create_model("mlp"), fcnn.make_optimizer("sgd", 0.1)
    assert isinstance(model, Model)
    assert isinstance(fcnn.create_state(model, tx, key=key, input_shape=(1, 28, 28, 1)), State)


def test_only_sets_that_make_their_batches_are_taken_for_such():
    assert isinstance(MaskEvaluation(MASKS), EvaluationBatches)
    assert not isinstance(fcnn.Split(np.zeros((1, 8, 8, 1), np.uint8), LABELS), EvaluationBatches)


def test_the_package_says_that_it_has_types():
    assert importlib.resources.files("fcnn").joinpath("py.typed").is_file()
