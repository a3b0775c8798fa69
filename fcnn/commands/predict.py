"""`fcnn predict`: what a network sees in photos."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image, ImageOps
from tyro.conf import Positional

from fcnn.errors import InputError
from fcnn.files import write_file
from fcnn.models import create_model
from fcnn.pretrained import PUBLISHED_WEIGHTS, EvaluationTransform, load_pretrained, preprocess
from fcnn.report import style
from fcnn.use.classify import Classification, classify

_MAX_PHOTOS = 64
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Predict:
    """Names the five most probable classes of photos and draws them beside the photos."""

    name: Positional[str]
    """Name of the network."""
    photos: Positional[tuple[Path, ...]]
    """Image files; the orientation that a camera notes is applied."""
    weights: Path | None = None
    """Weight file, .pth or .safetensors; without it, the published one is downloaded."""
    output: Path = Path("prediction.png")
    """Where the picture is written."""
    class_names: Path | None = None
    """Text file with the name of each class on a line, in the order of the logits; without it, ImageNet's."""

    def run(self) -> None:
        """Prints the classes and the path of the picture.

        Raises:
            InputError: an argument cannot be used.
        """
        if not 1 <= len(self.photos) <= _MAX_PHOTOS:
            raise InputError(f"expected from 1 to {_MAX_PHOTOS} photos, found {len(self.photos)}")
        if self.output.suffix != ".png":
            raise InputError(f"{self.output}: expected a name that ends in .png")
        images = [_open_image(path) for path in self.photos]
        class_names = None if self.class_names is None else _read_lines(self.class_names)
        transform = _transform(self.name, self.weights)
        variables = load_pretrained(self.name, self.weights)
        classifications = []
        found = classify(self.name, variables, images, transform, class_names)
        for path, classification in zip(self.photos, found, strict=True):
            classifications.append(classification)
            print(path)
            for class_name, probability in zip(*classification, strict=True):
                print(f"  {probability:6.1%}  {class_name}")
        _write(self.output, style.encode_png(_draw([transform.cut(image) for image in images], classifications)))
        print(self.output)


def _transform(name: str, weights: Path | None) -> EvaluationTransform:
    if any(published.network == name for published in PUBLISHED_WEIGHTS):
        return preprocess(name, path=weights)
    # Weights of one's own: the whole image at the size that the network is made for.
    height, width, channels = getattr(create_model(name), "input_shape", (0, 0, 0))
    if channels != 3:
        raise InputError(f"{name} is not made for colour photos, expected a network that is")
    return EvaluationTransform(min(height, width), min(height, width), _IMAGENET_MEAN, _IMAGENET_STD)


def _open_image(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            return ImageOps.exif_transpose(image)
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or "damaged, or of an unknown format"
        raise InputError(f"{path}: cannot be read as an image: {reason}") from error


def _read_lines(path: Path) -> tuple[str, ...]:
    try:
        return tuple(path.read_text("utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error


def _write(path: Path, content: bytes) -> None:
    try:
        write_file(path, content)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from error


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
