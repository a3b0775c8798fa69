"""One code path from one CPU to many hosts: a mesh with the axis "data", the batch split over it, the state on all."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from fcnn.errors import InputError

AXIS = "data"


def make_mesh(
    devices: Sequence[jax.Device] | None = None,  # pyright: ignore[reportInvalidTypeForm] (jaxlib has no stubs)
) -> Mesh:
    """Returns a mesh of the given devices (all of all processes by default) along the one axis "data"."""
    devices = list(devices if devices is not None else jax.devices())
    return jax.make_mesh((len(devices),), (AXIS,), axis_types=(AxisType.Auto,), devices=devices)


def initialize_processes(coordinator: str | None, processes: int, process: int) -> None:
    """Joins this process to a run of several; to be called before anything else touches a device.

    Args:
        coordinator: "host:port" of process 0; None leaves a single process as it is.
        processes: how many processes there are.
        process: which one this is, from 0.

    Raises:
        InputError: if the process' number is not among them, or there are several and no address.
    """
    if processes > 1 and coordinator is None:
        raise InputError(f"{processes} processes need the address host:port of process 0: give --coordinator to each")
    if not 0 <= process < processes:
        raise InputError(f"process {process} is not one of 0 to {processes - 1}: give every process its own number")
    if coordinator is not None:
        jax.distributed.initialize(coordinator, processes, process)


def is_main_process() -> bool:
    """Returns whether this process is the one that prints and writes."""
    return jax.process_index() == 0


def wait_for_all(what: str) -> None:
    """Waits until every process has come here.

    Args:
        what: names the place, the same on every process.
    """
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(what)


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of a batch: its first dimension split over the mesh."""
    return NamedSharding(mesh, PartitionSpec(AXIS))


def replicated(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of what every device holds whole."""
    return NamedSharding(mesh, PartitionSpec())


def shard_batch(mesh: Mesh, batch: PyTree) -> PyTree:
    """Places the arrays of a batch on the mesh, split along their first dimension.

    Args:
        mesh: where to.
        batch: NumPy arrays of the whole batch, the same on every process, each of which places its own part only.

    Raises:
        InputError: if the batch cannot be split evenly.
    """

    def place(array):
        if array.shape[0] % mesh.size:
            raise InputError(
                f"a batch of {array.shape[0]} cannot be split over {mesh.size} devices: take a multiple of {mesh.size}"
            )
        return _place(array, batch_sharding(mesh))

    return jax.tree.map(place, batch)


def replicate(mesh: Mesh, tree: PyTree) -> PyTree:
    """Places the arrays of a tree whole on every device of the mesh; every process gives the same values."""
    sharding = replicated(mesh)

    def place(leaf):
        if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(_place(jax.random.key_data(leaf), sharding), impl=jax.random.key_impl(leaf))
        return _place(leaf, sharding)

    return jax.tree.map(place, tree)


def _place(array, sharding):
    if isinstance(array, jax.Array) and array.sharding == sharding:
        return array
    if jax.process_count() == 1:
        return jax.device_put(array, sharding)
    array = np.asarray(array)
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])
