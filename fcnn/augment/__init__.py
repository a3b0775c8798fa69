"""Random transformations of a batch, `(key, batch) -> batch`: pure and jitted with the step."""

from fcnn.augment.affine import random_affine, random_scale_crop
from fcnn.augment.batch import choose_one, compose, images
from fcnn.augment.geometry import random_crop, random_flip
from fcnn.augment.mixtures import cutmix, mixup
from fcnn.augment.pixels import cutout
from fcnn.augment.resampling import affine_resample

__all__ = [
    "affine_resample",
    "choose_one",
    "compose",
    "cutmix",
    "cutout",
    "images",
    "mixup",
    "random_affine",
    "random_crop",
    "random_flip",
    "random_scale_crop",
]
