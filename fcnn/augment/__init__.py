"""Random transformations of a batch, pure and jitted with the step."""

from fcnn.augment.images import affine_resample, compose, cutout, random_affine, random_crop, random_flip

__all__ = ["affine_resample", "compose", "cutout", "random_affine", "random_crop", "random_flip"]
