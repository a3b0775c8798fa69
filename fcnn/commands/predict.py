"""`fcnn predict`: what a network sees in photos."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from fcnn.commands.photos import open_photo, read_lines, refuse_overwriting, write_files
from fcnn.commands.request import Kind, Request
from fcnn.errors import InputError
from fcnn.models import task_of
from fcnn.pretrained import PUBLISHED_WEIGHTS, EvaluationTransform, load_pretrained, preprocess

_MAX_PHOTOS = 64
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Predict:
    """Tells what a network sees in photos: the five most probable classes, or the class of each pixel.

    Photos with their classes (resnet50) are all in one picture; each with coloured pixels (fcn_resnet50) is one.
    """

    name: Positional[str]
    """Name of the network."""
    photos: Positional[tuple[Path, ...]]
    """Image files; the orientation that a camera notes is applied."""
    weights: Path | None = None
    """Weight file, .pth or .safetensors; without it, the published one is downloaded."""
    output: Path = Path("prediction.png")
    """Where the picture is written; those of several photos with labelled pixels are prediction_1.png and so on."""
    masks: Path | None = None
    """Folder for a mask of each photo too: a PNG of its name and size with class numbers, in PASCAL VOC's colours."""
    class_names: Path | None = None
    """Text file with the name of each class on a line, in the order of the logits; without it, ImageNet's or VOC's."""

    def run(self) -> None:
        """Prints what is seen and the paths of the files.

        Raises:
            InputError: an argument cannot be used; no file is written then.
        """
        if not 1 <= len(self.photos) <= _MAX_PHOTOS:
            raise InputError(f"expected from 1 to {_MAX_PHOTOS} photos, found {len(self.photos)}")
        if self.output.suffix != ".png":
            raise InputError(f"{self.output}: expected a name that ends in .png")
        kind = _kinds()[task_of(self.name)]
        pictures, masks = self._files(kind)
        refuse_overwriting((*pictures, *masks), self.photos)
        images = tuple(open_photo(path) for path in self.photos)
        class_names = None if self.class_names is None else read_lines(self.class_names)
        transform = _transform(self.name, self.weights, kind)
        for path, image in zip(self.photos, images, strict=True):
            _check_photo(path, image, transform)
        variables = load_pretrained(self.name, self.weights)
        request = Request(self.name, variables, transform, class_names, self.photos, images, pictures, masks)
        files = kind.predict(request)
        write_files(files, new_folder=self.masks)
        for path in files:
            print(path)

    def _files(self, kind: Kind) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
        """Returns where pictures and masks are written."""
        count = len(self.photos)
        pictures = (self.output,)
        if kind.picture_a_photo and count > 1:
            pictures = tuple(self.output.with_stem(f"{self.output.stem}_{number}") for number in range(1, count + 1))
        if self.masks is None:
            return pictures, ()
        if not kind.has_masks:
            raise InputError(f"{self.name} gives a class for a photo and no masks: leave out --masks")
        if self.masks.exists() and not self.masks.is_dir():
            raise InputError(f"{self.masks}: is no folder, expected one for the masks")
        return pictures, tuple(self.masks / f"{photo.stem}.png" for photo in self.photos)


def _kinds():
    # Only a command that draws waits for the import of Matplotlib.
    from fcnn.commands.predict_classes import CLASSIFICATION
    from fcnn.commands.predict_masks import SEGMENTATION

    return {"classification": CLASSIFICATION, "segmentation": SEGMENTATION}


def _transform(name: str, weights: Path | None, kind: Kind) -> EvaluationTransform:
    if any(published.network == name for published in PUBLISHED_WEIGHTS):
        return preprocess(name, path=weights)
    return EvaluationTransform(*kind.own_size(name), _IMAGENET_MEAN, _IMAGENET_STD)


def _check_photo(path, image, transform):
    try:
        transform.cut(image)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
