"""`fcnn predict` with a network that classifies: the most probable classes of each photo, all in one picture."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from fcnn.commands.request import Kind, Request
from fcnn.errors import InputError
from fcnn.models import create_model
from fcnn.report import style
from fcnn.use import Classification, classify


def predict_classes(request: Request) -> dict[Path, bytes]:
    """Prints the classes of each photo and returns the picture.

    Raises:
        InputError: the weights are not for photos, or for another number of classes than there are names.
    """
    classifications = []
    found = classify(request.network, request.variables, request.images, request.transform, request.class_names)
    for path, classification in zip(request.paths, found, strict=True):
        classifications.append(classification)
        print(path)
        for class_name, probability in zip(*classification, strict=True):
            print(f"  {probability:6.1%}  {class_name}")
    (picture,) = request.pictures
    seen = [request.transform.cut(image) for image in request.images]
    return {picture: style.encode_png(_draw(seen, classifications))}


def _own_size(name: str) -> tuple[int, int]:
    """Returns the size for weights of your own: the whole image at the size that the network is made for."""
    height, width, channels = getattr(create_model(name), "input_shape", (0, 0, 0))
    if channels != 3:
        raise InputError(f"{name} is not made for colour photos, expected a network that is")
    return min(height, width), min(height, width)


def _draw(images: Sequence[Image.Image], classifications: Sequence[Classification]) -> Figure:
    """Draws each image as the network saw it, with a bar for the probability of each class beside it."""
    side, gap = 2.0, 0.25  # inches
    left = side + 2 * gap
    width = style.WIDTH - left - gap
    figure, axes = style.new_canvas()
    for row, (image, classification) in enumerate(zip(images, classifications, strict=True)):
        top = gap + row * (side + gap)
        axes.imshow(image, extent=(gap, gap + side, top + side, top), interpolation="lanczos")
        pitch = side / len(classification.class_names)
        for line, (class_name, probability) in enumerate(zip(*classification, strict=True)):
            baseline = top + pitch * (line + 0.5)
            axes.text(
                left, baseline, style.shorten(class_name, 48), fontsize=style.NORMAL, color=style.INK, parse_math=False
            )
            axes.text(left + width, baseline, f"{probability:.1%}", fontsize=style.NORMAL, color=style.INK, ha="right")
            axes.barh(baseline + 0.09, width, height=0.06, left=left, color=style.FAINT)
            axes.barh(baseline + 0.09, width * probability, height=0.06, left=left, color=style.BLUE)
    style.crop(figure, axes, len(images) * (side + gap) + gap)
    return figure


CLASSIFICATION = Kind(predict_classes, _own_size, picture_a_photo=False)
