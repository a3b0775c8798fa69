"""How the layers of a network are computed on each backend: arrays in, arrays out, layout NHWC, kernels HWIO."""

from fcnn.ops.activation import relu
from fcnn.ops.convolution import conv2d, conv_general_dilated
from fcnn.ops.dense import dense
from fcnn.ops.normalisation import batch_norm
from fcnn.ops.pooled_convolution import conv2d_max_pool
from fcnn.ops.pooling import adaptive_avg_pool, avg_pool, max_pool
from fcnn.ops.resize import resize_bilinear
from fcnn.ops.sizes import Padding
from fcnn.ops.transposed_convolution import conv2d_transpose

__all__ = [
    "Padding",
    "adaptive_avg_pool",
    "avg_pool",
    "batch_norm",
    "conv2d",
    "conv2d_max_pool",
    "conv2d_transpose",
    "conv_general_dilated",
    "dense",
    "max_pool",
    "relu",
    "resize_bilinear",
]
