"""What each network is."""

from fcnn.models.auxiliary import AuxiliaryLogits
from fcnn.models.classify.alexnet import AlexNet
from fcnn.models.classify.googlenet import GoogLeNet
from fcnn.models.classify.inception import InceptionV3
from fcnn.models.classify.lenet import LeNet
from fcnn.models.classify.mlp import MLP
from fcnn.models.classify.resnet import BasicBlock, Bottleneck, ResNet, ResNetTrunk
from fcnn.models.classify.resnet_cifar import CifarResNet
from fcnn.models.classify.vgg import VGG
from fcnn.models.features import capture
from fcnn.models.frozen import FrozenNorms
from fcnn.models.head import Body, Head, body_layers, replace_head
from fcnn.models.initializers import he_normal
from fcnn.models.layers import AvgPool, Conv, Dense, MaxPool, batch_norm
from fcnn.models.networks import create_model, list_models, task_of
from fcnn.models.segment.fcn_resnet import FCNResNet
from fcnn.models.segment.fcn_vgg import FCNVGG
from fcnn.models.segment.from_classifier import from_classifier
from fcnn.models.summary import LayerRow, layer_table, summary

__all__ = [
    "FCNVGG",
    "MLP",
    "VGG",
    "AlexNet",
    "AuxiliaryLogits",
    "AvgPool",
    "BasicBlock",
    "Body",
    "Bottleneck",
    "CifarResNet",
    "Conv",
    "Dense",
    "FCNResNet",
    "FrozenNorms",
    "GoogLeNet",
    "Head",
    "InceptionV3",
    "LayerRow",
    "LeNet",
    "MaxPool",
    "ResNet",
    "ResNetTrunk",
    "batch_norm",
    "body_layers",
    "capture",
    "create_model",
    "from_classifier",
    "he_normal",
    "layer_table",
    "list_models",
    "replace_head",
    "summary",
    "task_of",
]
