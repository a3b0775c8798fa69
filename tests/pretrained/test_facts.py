"""The facts of the published weights."""

import re

import pytest

from fcnn.errors import InputError
from fcnn.models import list_models
from fcnn.pretrained import PUBLISHED_WEIGHTS, imagenet_class_names, published_weights


def test_every_entry_is_whole():
    for weights in PUBLISHED_WEIGHTS:
        assert weights.network in list_models()
        assert re.fullmatch(r"[0-9a-f]{8}", weights.hash_prefix)
        assert weights.address == f"https://download.pytorch.org/models/{weights.file_name}"
        assert weights.interpolation == "bilinear"
        if weights.task == "classification":
            assert weights.crop <= weights.resize
            assert weights.top1 < weights.top5 < 100
            assert weights.metrics == {"top1": weights.top1, "top5": weights.top5}
            assert weights.classes == 1000
        else:
            assert (weights.resize, weights.crop, weights.classes) == (520, None, 21)
            assert weights.metrics["mean_iou"] < weights.metrics["pixel_accuracy"] < 100
    assert len({weights.file_name for weights in PUBLISHED_WEIGHTS}) == len(PUBLISHED_WEIGHTS) == 21


def test_what_segmentation_reaches():
    weights = published_weights("fcn_resnet101")
    assert (weights.file_name, weights.hash_prefix) == ("fcn_resnet101_coco-7ecb50ca.pth", "7ecb50ca")
    assert weights.metrics == {"mean_iou": 63.7, "pixel_accuracy": 91.9}


def test_versions():
    assert published_weights("resnet50").file_name == "resnet50-11ad3fa6.pth"
    assert published_weights("resnet50", "V1").file_name == "resnet50-0676ba61.pth"
    assert published_weights("resnet18").version == "V1"
    with pytest.raises(InputError, match="'V2' for resnet18: expected V1"):
        published_weights("resnet18", "V2")
    with pytest.raises(InputError, match="no weights are published for 'resnet20', only for alexnet"):
        published_weights("resnet20")


def test_googlenet_and_inception_see_pixels_between_minus_one_and_one():
    for name in ("googlenet", "inception_v3"):
        weights = published_weights(name)
        # torchvision's transform_input after the normalisation by ImageNet's mean and deviation, at a pixel of 0.3
        for mean, std, given_mean, given_std in zip(
            (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), weights.mean, weights.std, strict=True
        ):
            normalised = (0.3 - mean) / std
            assert normalised * (std / 0.5) + (mean - 0.5) / 0.5 == pytest.approx((0.3 - given_mean) / given_std)


def test_class_names_of_imagenet():
    names = imagenet_class_names()
    assert len(names) == len(set(names)) == 1000
    known = {0: "tench", 1: "goldfish", 134: "crane bird", 207: "golden retriever", 281: "tabby", 388: "giant panda"}
    known |= {517: "crane", 652: "military uniform", 817: "sports car", 920: "traffic light", 999: "toilet tissue"}
    assert {index: names[index] for index in known} == known
