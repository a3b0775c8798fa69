"""A few images at a time: the same numbers, on one device and where each has its own images."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fcnn
from fcnn.ops.cpu import blocks

# Equal parts for 8, 4 and 1 of the tests' devices.
BATCHES = [(48, 3), (12, 1), (15, 5)]


def squares(x):
    return x**2


def products(x, y):
    return jnp.einsum("bi,bj->ij", x, y)


@pytest.fixture
def arrays(random):
    return lambda batch: [jnp.asarray(random.standard_normal((batch, size)), jnp.float32) for size in (3, 4)]


def communications(function, *arguments):
    """Returns what devices send each other in the turns of a loop, and outside of loops."""
    program = jax.jit(function).lower(*arguments).compile().as_text()
    sent = r"(all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter)(?:-start)?\("
    found = [(line, match[1]) for line in program.splitlines() if (match := re.search(sent, line))]
    inside = [kind for line, kind in found if "/while/" in line]
    assert " while(" in program
    return inside, [kind for line, kind in found if "/while/" not in line]


@pytest.mark.parametrize(("batch", "size"), BATCHES)
def test_each_image_is_mapped(batch, size, arrays):
    (x, _), sizes = arrays(batch), []

    def recording(x):
        sizes.append(len(x))
        return squares(x)

    assert blocks.images_at_once(batch, size) == size
    np.testing.assert_allclose(blocks.map_images(recording, x, size), x**2, rtol=1e-6)
    assert set(sizes) == {{48: 24, 12: 4, 15: 5}[batch]}


@pytest.mark.parametrize(("batch", "size"), BATCHES)
def test_all_images_are_added_up(batch, size, arrays):
    x, y = arrays(batch)
    found = blocks.sum_over_images(products, (x, y), size, (3, 4))
    np.testing.assert_allclose(found, x.T @ y, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("devices", [8, 4, 2])
def test_each_device_takes_its_own_images(devices, arrays):
    mesh = fcnn.make_mesh(jax.devices()[:devices])
    x, y = fcnn.parallel.shard_batch(mesh, arrays(64))
    assert communications(lambda x: blocks.map_images(squares, x, 2), x) == ([], [])
    of_sum = communications(lambda x, y: blocks.sum_over_images(products, (x, y), 2, (3, 4)), x, y)
    assert of_sum == ([], ["all-reduce"])


@pytest.mark.parametrize("of_images", ["map", "sum"])
def test_what_gives_the_images_is_computed_once(of_images, arrays, monkeypatch):
    """XLA computes anew what is cheap, for each shape that it is wanted in."""
    monkeypatch.setattr(jax, "device_count", lambda: 1)

    def both(x, y):
        positive = jnp.maximum(x, 0)
        if of_images == "map":
            return positive, blocks.map_images(squares, positive, 2)
        return positive, blocks.sum_over_images(products, (positive, y), 2, (3, 4))

    program = jax.jit(both).lower(*arrays(48)).compile().as_text()
    assert " while(" in program
    assert program.count(" maximum(") == 1


def test_as_many_as_fit_and_divide_the_part_of_a_device():
    assert blocks.images_at_once(48, 100) == 6
    assert blocks.images_at_once(48, 4) == 3
    assert blocks.images_at_once(7, 4) == 1
    assert blocks.images_at_once(15, 7) == 5
