"""The networks by name."""

from collections.abc import Callable, Mapping
from functools import partial
from inspect import signature
from numbers import Integral
from types import MappingProxyType

import flax.linen as nn
import jax.numpy as jnp

from fcnn.errors import InputError, unknown_name
from fcnn.models.classify.alexnet import AlexNet
from fcnn.models.classify.googlenet import TINY_MODULES, GoogLeNet
from fcnn.models.classify.inception import InceptionV3
from fcnn.models.classify.lenet import LeNet
from fcnn.models.classify.mlp import MLP
from fcnn.models.classify.resnet import BasicBlock, Bottleneck, ResNet
from fcnn.models.classify.resnet_cifar import CifarResNet
from fcnn.models.classify.vgg import VGG
from fcnn.models.mixed_precision import warn_if_bfloat16_is_slow
from fcnn.models.segment.fcn_resnet import FCNResNet
from fcnn.models.segment.fcn_small import FCNSmall
from fcnn.models.segment.fcn_vgg import FCNVGG

VGG_STAGE_SIZES = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
# Stages, channels and padding for digits of 28 to 60 pixels. With that padding, interpolation has its two neighbours at
# the border of the image too.
DIGITS = {"stage_sizes": (2, 2, 2), "widths": (16, 32, 64), "hidden": 128, "grid": 4, "batch_norm": True}
DIGITS_PADDING = 17
# For digits of 32 to 64 pixels in scenes.
SMALL = {"stage_sizes": (2, 2, 2), "widths": (16, 48, 96), "hidden": 192, "grid": 3, "first_stride": 2}

NETWORKS: Mapping[str, Callable[..., nn.Module]] = MappingProxyType(
    {
        "alexnet": AlexNet,
        "alexnet_tiny": partial(AlexNet, widths=(16, 32, 48, 32, 32), hidden=64),
        **{
            f"fcn{stride}s_vgg16": partial(FCNVGG, stage_sizes=VGG_STAGE_SIZES[16], stride=stride)
            for stride in (32, 16, 8)
        },
        **{
            f"fcn{stride}s_vgg_digits": partial(FCNVGG, stride=stride, first_padding=DIGITS_PADDING, **DIGITS)
            for stride in (8, 4, 2)
        },
        **{f"fcn{stride}s_small": partial(FCNSmall, stride=stride, **SMALL) for stride in (16, 8, 4, 2)},
        "fcn_resnet50": partial(FCNResNet, stage_sizes=(3, 4, 6, 3), block=Bottleneck),
        "fcn_resnet101": partial(FCNResNet, stage_sizes=(3, 4, 23, 3), block=Bottleneck),
        "fcn_resnet_tiny": partial(FCNResNet, stage_sizes=(1, 1, 1, 1), block=BasicBlock, widths=(8, 16, 32, 64)),
        "googlenet": GoogLeNet,
        "googlenet_tiny": partial(GoogLeNet, modules=TINY_MODULES, stem_widths=(8, 8, 24), auxiliary_widths=(16, 128)),
        "inception_tiny": partial(InceptionV3, blocks_a=(32,), blocks_c=(128,), blocks_e=0, width_divisor=8, padding=1),
        "inception_v3": InceptionV3,
        "lenet": LeNet,
        "mlp": MLP,
        "resnet18": partial(ResNet, stage_sizes=(2, 2, 2, 2), block=BasicBlock),
        "resnet34": partial(ResNet, stage_sizes=(3, 4, 6, 3), block=BasicBlock),
        "resnet50": partial(ResNet, stage_sizes=(3, 4, 6, 3), block=Bottleneck),
        "resnet101": partial(ResNet, stage_sizes=(3, 4, 23, 3), block=Bottleneck),
        "resnet152": partial(ResNet, stage_sizes=(3, 8, 36, 3), block=Bottleneck),
        "resnet_tiny": partial(ResNet, stage_sizes=(1, 1, 1, 1), block=BasicBlock, widths=(8, 16, 32, 64)),
        "resnet20": partial(CifarResNet, blocks_per_stage=3),
        "resnet32": partial(CifarResNet, blocks_per_stage=5),
        "resnet44": partial(CifarResNet, blocks_per_stage=7),
        "resnet56": partial(CifarResNet, blocks_per_stage=9),
        "resnet110": partial(CifarResNet, blocks_per_stage=18),
        "resnet_cifar_tiny": partial(CifarResNet, blocks_per_stage=1, widths=(8, 16, 32)),
        **{f"vgg{depth}": partial(VGG, stage_sizes=sizes) for depth, sizes in VGG_STAGE_SIZES.items()},
        **{
            f"vgg{depth}_bn": partial(VGG, stage_sizes=sizes, batch_norm=True)
            for depth, sizes in VGG_STAGE_SIZES.items()
        },
        "vgg_digits": partial(VGG, **DIGITS),
        "vgg_small": partial(VGG, batch_norm=True, hidden_batch_norm=True, dropout_rate=0.0, **SMALL),
        "vgg_tiny": partial(VGG, stage_sizes=(1, 1, 1, 1, 1), widths=(8, 16, 32, 32, 32), hidden=64, batch_norm=True),
    }
)


def list_models() -> tuple[str, ...]:
    """Returns the names that `create_model` knows, sorted."""
    return tuple(sorted(NETWORKS))


def task_of(name: str) -> str:
    """Returns what a network is made for, as the name of a task: "classification" unless its class names another.

    Args:
        name: one of `list_models()`.

    Raises:
        InputError: if there is no such network; the nearest names are given.
    """
    return getattr(_module_class(name), "task", "classification")


def create_model(name: str, **options) -> nn.Module:
    """Returns the network of that name; warns if it is to compute in bfloat16 where that is slow.

    Args:
        name: one of `list_models()`.
        **options: the network's attributes, such as `num_classes` or `dtype`; the others keep their defaults.

    Raises:
        InputError: if there is no such network, or the network has no such option (the nearest names are given), or a
            number is out of its range.
    """
    known = signature(_module_class(name)).parameters.keys() - {"parent", "name"}
    for option in options:
        if option not in known:
            raise unknown_name(f"option of {name}", option, known)
    model = NETWORKS[name](**options)
    for what, number in (("num_classes", model.num_classes), *(("a hidden width", n) for n in _hidden_widths(model))):
        if not isinstance(number, Integral) or number < 1:
            raise InputError(f"{what} must be a whole number of at least 1, got {number}")
    if not 0 <= getattr(model, "dropout_rate", 0) < 1:
        raise InputError(f"dropout_rate must be at least 0 and less than 1, got {model.dropout_rate}")
    try:
        is_float = jnp.issubdtype(model.dtype, jnp.floating)
    except TypeError:
        is_float = False
    if not is_float:
        raise InputError(f"dtype must be a floating-point type such as float32 or bfloat16, got {model.dtype!r}")
    if jnp.dtype(model.dtype) == jnp.bfloat16:
        warn_if_bfloat16_is_slow()
    return model


def _module_class(name):
    if name not in NETWORKS:
        raise unknown_name("network", name, NETWORKS)
    network = NETWORKS[name]
    return network.func if isinstance(network, partial) else network


def _hidden_widths(model):
    hidden = getattr(model, "hidden", ())
    return hidden if isinstance(hidden, tuple | list) else (hidden,)
