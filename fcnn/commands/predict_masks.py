"""`fcnn predict` with a network that labels pixels: each photo with its classes in colours, and masks on request."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int

from fcnn.commands.request import Kind, Request
from fcnn.data.mask_folder import VOC_CLASS_NAMES
from fcnn.photos import to_rgb
from fcnn.report import draw_overlay, encode_mask, style
from fcnn.use import segment
from fcnn.use.weights import name_classes, network_of


def predict_masks(request: Request) -> dict[Path, bytes]:
    """Prints the classes of each photo with their shares of its pixels, and returns the pictures and masks.

    Raises:
        InputError: the weights are not for photos, or for another number of classes than there are names.
    """
    num_classes = network_of(request.network, request.variables).num_classes
    class_names = name_classes(num_classes, request.class_names, VOC_CLASS_NAMES)
    files = {}
    found = segment(request.network, request.variables, request.images, request.transform)
    for number, (path, image, labels) in enumerate(zip(request.paths, request.images, found, strict=True)):
        print(path)
        for line in _shares(labels, class_names):
            print(line)
        overlay = draw_overlay(np.asarray(to_rgb(image)), labels, class_names, ignore=None)
        files[request.pictures[number]] = style.encode_png(overlay)
        if request.masks:
            files[request.masks[number]] = encode_mask(labels)
    return files


def _shares(labels: Int[np.ndarray, "height width"], class_names: Sequence[str]) -> list[str]:
    """Returns a line for each class that occurs, that of the most pixels first."""
    numbers, counts = np.unique(labels, return_counts=True)
    lines = []
    for place in np.argsort(-counts, kind="stable").tolist():
        share = counts[place] / labels.size
        lines.append(f"  {f'{share:.1%}' if share >= 0.0005 else '<0.1%':>6}  {class_names[int(numbers[place])]}")
    return lines


def _own_size(name: str) -> tuple[int, None]:
    """Returns the size for weights of your own: the whole photo, as the published ones see it."""
    return 520, None


SEGMENTATION = Kind(predict_masks, _own_size, has_masks=True)
