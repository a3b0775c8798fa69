"""What each kind of prediction is handed, and what a kind is."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from fcnn.pretrained import EvaluationTransform


class Request(NamedTuple):
    """Photos, a network to look at them, and where to write what it sees.

    Attributes:
        network: its name.
        variables: its weights.
        transform: from an image to its input.
        class_names: those that the user gives; None for none.
        paths: of the photos.
        images: the photos, upright.
        pictures: where the pictures are written: one for each photo, or a single one.
        masks: where a mask is written for each photo; none if empty.
    """

    network: str
    variables: Mapping[str, Any]
    transform: EvaluationTransform
    class_names: tuple[str, ...] | None
    paths: tuple[Path, ...]
    images: tuple[Image.Image, ...]
    pictures: tuple[Path, ...]
    masks: tuple[Path, ...]


class Kind(NamedTuple):
    """How the predictions of one task are printed and drawn.

    Attributes:
        predict: prints what is seen and returns the files to write, content by path.
        own_size: from a network's name to the shorter side, and the crop if there is one, for weights of your own.
        picture_a_photo: whether each photo has a picture of its own, or all are in one.
        has_masks: whether there can be masks.
    """

    predict: Callable[[Request], dict[Path, bytes]]
    own_size: Callable[[str], tuple[int, int | None]]
    picture_a_photo: bool = True
    has_masks: bool = False
