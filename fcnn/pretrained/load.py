"""Published weights, or any weight file of the same layout, as the variables of a network."""

from functools import partial
from pathlib import Path

import jax
import numpy as np
from jaxtyping import PyTree

from fcnn.errors import InputError, unknown_name
from fcnn.models import list_models
from fcnn.pretrained.convert import convert_torchvision
from fcnn.pretrained.download import download
from fcnn.pretrained.facts import PUBLISHED_ADDRESS, published_weights
from fcnn.pretrained.weight_files import read_weights


def load_pretrained(
    name: str,
    path: str | Path | None = None,
    *,
    version: str | None = None,
    cache_folder: Path | None = None,
    base_address: str = PUBLISHED_ADDRESS,
    **options,
) -> dict[str, PyTree]:
    """Returns a network's variables from a weight file; without a path, from the published one.

    Args:
        name: one of `list_models()`.
        path: a file with torchvision's keys: `.safetensors`, or `.pth` of any age; PyTorch is not needed. The number
            of classes is the file's. If None, the published file is downloaded once and kept.
        version: "V1" or "V2" of the published weights; the newest if None.
        cache_folder: where downloads are kept; the user's cache folder if None.
        base_address: where downloads come from.
        **options: the network's attributes that change its arrays, such as `paper_kernels`.

    Returns:
        {"params": ..., "batch_stats": ...}, float32.

    Raises:
        InputError: the file cannot be had or read, is damaged, has another hash than its name says, holds more than
            weights, or holds those of another network. Nothing in a file is ever executed.
    """
    if name not in list_models():
        raise unknown_name("network", name, list_models())
    if path is None:
        path = download(published_weights(name, version).file_name, cache_folder, base_address)
    state_dict = read_weights(path)
    try:
        variables = convert_torchvision(name, state_dict, **options)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    # The arrays are views of the file's content, which the copies let go; JAX is slow in copying transposed ones.
    return jax.device_put(jax.tree.map(partial(np.array, order="C"), variables))
