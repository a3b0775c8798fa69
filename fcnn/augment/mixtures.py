"""Mixtures of the examples of a batch: labels become the probabilities with which they are mixed."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from fcnn.augment.batch import Augmentation, Batch, on_batches
from fcnn.errors import InputError


def mixup(alpha: float, num_classes: int) -> Augmentation:
    """Returns the mixing of each example with another: `share * example + (1 - share) * partner`, images and labels.

    The share is drawn from Beta(alpha, alpha), one for the batch, and partners by a permutation of the batch, as the
    authors' code does. Examples whose "mask" is 0 are left alone and mixed into no other.

    "label" is class numbers, integers [batch], or probabilities, float [batch, class]; it becomes probabilities [batch,
    class]. A label that is none of the classes has no target: its probabilities are NaN.

    Source: Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization", section 2 and figure 1a. They take an
    alpha of 0.1 to 0.4 on ImageNet and of 1 on CIFAR-10.

    Args:
        alpha: the larger, the more the share is near one half; 1 draws it evenly from 0 to 1.
        num_classes: number of classes.

    Raises:
        InputError: if alpha or the number of classes is not positive; (the returned function) if there are no labels,
            or they are neither class numbers nor probabilities of that many classes.
    """
    _check(alpha, num_classes)

    def mix(key, batch):
        for_share, for_partner = jax.random.split(key)
        images, targets = batch["image"], _probabilities(batch, num_classes)
        share = _share(for_share, alpha)
        partner = _partners(for_partner, _counted(batch))
        mixed = share * images + (1 - share) * images[partner]
        return {**batch, "image": mixed.astype(images.dtype), "label": _mix(targets, partner, share)}

    return on_batches(mix)


def cutmix(alpha: float, num_classes: int) -> Augmentation:
    """Returns the pasting of a box of another example's image into each, labels mixed by the box's share of the area.

    One box for the batch, of the image's aspect ratio and a share of its area drawn from Beta(alpha, alpha), at a place
    drawn evenly. It may reach beyond the image: what counts for the labels is the area inside. Partners, masked
    examples and labels are as in `mixup`.

    Source: Yun et al. 2019, "CutMix", section 3.1 and algorithm A1. They take an alpha of 1.

    Args:
        alpha: the larger, the more the box has half of the area; 1 draws its share evenly from 0 to 1.
        num_classes: number of classes.

    Raises:
        InputError: as `mixup`.
    """
    _check(alpha, num_classes)

    def cut(key, batch):
        for_share, for_place, for_partner = jax.random.split(key, 3)
        images, targets = batch["image"], _probabilities(batch, num_classes)
        sides = jnp.array(images.shape[1:3], jnp.float32)
        reach = sides * jnp.sqrt(1 - _share(for_share, alpha)) / 2
        centre = sides * jax.random.uniform(for_place, (2,))
        first = jnp.round(jnp.clip(centre - reach, 0))
        last = jnp.round(jnp.minimum(centre + reach, sides))
        rows, columns = (
            (jnp.arange(side) >= low) & (jnp.arange(side) < high)
            for side, low, high in zip(images.shape[1:3], first, last, strict=True)
        )
        share = 1 - jnp.prod(last - first) / jnp.prod(sides)
        partner = _partners(for_partner, _counted(batch))
        pasted = jnp.where((rows[:, None] & columns)[..., None], images[partner], images)
        return {**batch, "image": pasted, "label": _mix(targets, partner, share)}

    return on_batches(cut)


def _share(key: Key[Array, ""], alpha: float) -> Float[Array, ""]:
    """Returns a draw from Beta(alpha, alpha), the Dirichlet distribution of two.

    `jax.random.beta` has two generators of gamma variables in it, and takes a third longer to compile on CPU.
    """
    return jax.random.dirichlet(key, jnp.full(2, alpha))[0]


def _partners(key: Key[Array, ""], counted: Bool[Array, " batch"]) -> Int[Array, " batch"]:
    """Returns a random permutation of those that count; the others are their own partners."""
    drawn = jnp.where(counted, jax.random.uniform(key, counted.shape), jnp.inf)
    # Both orders have those that count in front and the others, in the same order, behind.
    return jnp.zeros(counted.shape, jnp.int32).at[jnp.argsort(~counted)].set(jnp.argsort(drawn))


def _counted(batch: Batch) -> Bool[Array, " batch"]:
    return batch["mask"] != 0 if "mask" in batch else jnp.ones(batch["image"].shape[0], bool)


def _mix(targets: Float[Array, "batch class"], partner: Int[Array, " batch"], share: Float[Array, ""]):
    return share * targets + (1 - share) * targets[partner]


def _probabilities(batch: Batch, num_classes: int) -> Float[Array, "batch class"]:
    if "label" not in batch:
        raise InputError('mixing images mixes their labels: give a batch with "label", there is none')
    label = batch["label"]
    if label.ndim == 1 and jnp.issubdtype(label.dtype, jnp.integer):
        label = label.astype(jnp.int32)  # a byte cannot be compared with 1,000 classes
        known = (label >= 0) & (label < num_classes)
        return jnp.where(known[:, None], jax.nn.one_hot(label, num_classes), jnp.nan)
    if label.ndim == 2 and label.shape[1] == num_classes and jnp.issubdtype(label.dtype, jnp.floating):
        return label.astype(jnp.float32)
    raise InputError(
        f"labels to mix must be integers [batch] or probabilities [batch, {num_classes}], "
        f"got {label.dtype} {list(label.shape)}"
    )


def _check(alpha, num_classes):
    if not alpha > 0:
        raise InputError(f"alpha must be positive, got {alpha}: without mixing, leave the augmentation out")
    if num_classes < 1:
        raise InputError(f"the number of classes must be positive, got {num_classes}")
