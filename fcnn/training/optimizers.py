"""Optimizers and learning rate schedules, by the field's conventions, from optax."""

import itertools
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import optax

from fcnn.errors import InputError, unknown_name
from fcnn.training.freezing import by_path
from fcnn.training.penalties import kernels_of


def make_optimizer(
    name: str,
    learning_rate: optax.ScalarOrSchedule,
    *,
    rates: Mapping[str, optax.ScalarOrSchedule] = MappingProxyType({}),
    momentum: float = 0.9,
    nesterov: bool = False,
    beta2: float = 0.999,
    weight_decay: float = 0.0,
    clip_norm: float | None = None,
) -> optax.GradientTransformation:
    """Returns an optimizer.

    Args:
        name: "sgd" (with momentum, as PyTorch's), "adam" or "adamw".
        learning_rate: a rate, or a schedule from step to rate.
        rates: other rates or schedules by parameter path, `{pattern: rate}`; see `match_parameters`.
        momentum: SGD's momentum; Adam's first beta.
        nesterov: whether SGD's momentum is Nesterov's.
        beta2: Adam's second beta.
        weight_decay: share of each kernel taken off in a step, times the learning rate. It is added to the gradient for
            "sgd" (as in He et al. 2015) and decoupled from it for "adamw" (Loshchilov and Hutter 2019, algorithm 2).
            Biases and BatchNorm's scales do not decay.
        clip_norm: norm to which the gradient of all parameters together is clipped.

    Raises:
        InputError: if there is no such optimizer, or a number is out of its range; (its `init`) if a pattern matches no
            parameter.
    """
    for rate in (learning_rate, *rates.values()):
        if not callable(rate):
            _require_not_negative("learning rate", rate)
    _require_not_negative("weight decay", weight_decay)
    for what, value in (("momentum", momentum), ("beta2", beta2)):
        if not 0 <= value < 1:
            raise InputError(f"{what} must be at least 0 and less than 1, got {value}")
    if clip_norm is not None and not clip_norm > 0:
        raise InputError(f"clip norm must be positive, got {clip_norm}: leave it out for no clipping")
    if name == "adam" and weight_decay:
        raise InputError("adam has no weight decay here: take adamw, whose decay is decoupled from the gradient")
    if name not in ("adam", "adamw", "sgd"):
        raise unknown_name("optimizer", name, ("adam", "adamw", "sgd"))

    def descent(rate):
        if name == "sgd":
            decay = [optax.add_decayed_weights(weight_decay, kernels_of)] if weight_decay else []
            return [*decay, optax.sgd(rate, momentum or None, nesterov)]
        if name == "adam":
            return [optax.adam(rate, momentum, beta2)]
        return [optax.adamw(rate, momentum, beta2, weight_decay=weight_decay, mask=kernels_of)]

    parts = descent(learning_rate)
    if rates:
        parts = [
            by_path({pattern: optax.chain(*descent(rate)) for pattern, rate in rates.items()}, optax.chain(*parts))
        ]
    clipping = [] if clip_norm is None else [optax.clip_by_global_norm(clip_norm)]
    return optax.chain(*clipping, *parts)


def warmup_cosine(peak: float, steps: int, warmup: int = 0) -> optax.Schedule:
    """Returns a schedule that rises linearly to its peak and falls to 0 along half a cosine.

    Args:
        peak: the highest learning rate.
        steps: number of steps in all.
        warmup: number of steps of the rise.

    Raises:
        InputError: if the peak is negative, there is no step, or the warm-up takes all steps.
    """
    _require_not_negative("learning rate", peak)
    if steps < 1:
        raise InputError(f"a schedule needs at least 1 step, got {steps}: train for at least 1 epoch")
    if not 0 <= warmup < steps:
        raise InputError(f"a warm-up of {warmup} steps does not fit {steps} steps: it must end before they do")
    start = peak / warmup if warmup else peak  # the first step already moves
    return optax.warmup_cosine_decay_schedule(start, peak, warmup, steps)


def step_decay(peak: float, boundaries: Sequence[int], *, factor: float = 0.1, warmup: int = 0) -> optax.Schedule:
    """Returns a schedule that is constant but for some steps, from each of which on it is smaller by a factor.

    Args:
        peak: the highest learning rate.
        boundaries: the steps at which it falls, ascending.
        factor: what it is multiplied by at each of them, between 0 and 1.
        warmup: number of steps at a tenth of the peak before it (He et al. 2016, "Deep Residual Learning for Image
            Recognition", section 4.2).

    Raises:
        InputError: if the peak is negative, the factor out of its range, or the steps not ascending from 0.
    """
    _require_not_negative("learning rate", peak)
    if not 0 < factor < 1:
        raise InputError(f"a learning rate falls by a factor between 0 and 1, got {factor}")
    steps = (0, warmup, *boundaries) if warmup else (0, *boundaries)
    if any(later <= earlier for earlier, later in itertools.pairwise(steps)):
        raise InputError(
            f"the learning rate must fall at steps that ascend, after the warm-up of {warmup}, got {[*boundaries]}: "
            "train for longer, or warm up for shorter"
        )
    changes = dict.fromkeys(boundaries, factor)
    if warmup:
        return optax.piecewise_constant_schedule(peak / 10, {warmup: 10, **changes})
    return optax.piecewise_constant_schedule(peak, changes)


def poly_decay(peak: float, steps: int, power: float = 0.9) -> optax.Schedule:
    """Returns a schedule that falls to 0 as a power of the steps that are left, the rule of segmentation networks.

    At step t it is `peak * (1 - t / steps) ** power` (Chen et al. 2018, "DeepLab", section 4.1; torchvision's reference
    trains FCN by it).

    Args:
        peak: the first learning rate, the highest.
        steps: number of steps in all.
        power: 1 falls along a line; below 1 the rate stays high for longer.

    Raises:
        InputError: if the peak is negative, there is no step, or the power is not positive.
    """
    _require_not_negative("learning rate", peak)
    if steps < 1:
        raise InputError(f"a schedule needs at least 1 step, got {steps}: train for at least 1 epoch")
    if not power > 0:
        raise InputError(f"the power of a schedule must be positive, got {power}: 1 falls along a line")
    return optax.polynomial_schedule(peak, 0.0, power, steps)


def _require_not_negative(what, value):
    if not value >= 0:
        raise InputError(f"the {what} must not be negative, got {value}")
