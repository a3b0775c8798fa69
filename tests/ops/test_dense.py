"""Fully connected layers: Flax's, whose weights keep their digits where rounding them does not pay."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fcnn
from fcnn import ops
from fcnn.ops import machine


@pytest.mark.parametrize("dtype", [None, jnp.float32, jnp.bfloat16, jnp.float16])
def test_is_flaxs_layer(dtype, random):
    x = jnp.asarray(random.standard_normal((3, 2, 20)), jnp.float32)
    layer, flaxs = (of(7, dtype=dtype) for of in (fcnn.models.Dense, nn.Dense))
    variables = jax.tree.map(lambda leaf: leaf + 0.5, flaxs.init(jax.random.key(0), x))
    assert jax.tree.structure(layer.init(jax.random.key(0), x)) == jax.tree.structure(variables)
    found, expected = layer.apply(variables, x), flaxs.apply(variables, x)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    digits = jnp.finfo(found.dtype).eps if dtype not in (None, jnp.float32) else 0
    largest = np.abs(expected.astype(float)).max()
    np.testing.assert_allclose(found.astype(float), expected.astype(float), rtol=0, atol=2 * digits * largest)


@pytest.mark.parametrize(("rows", "digits_kept"), [(128, True), (129, False)])
def test_weights_are_rounded_for_many_rows(rows, digits_kept, monkeypatch):
    monkeypatch.setattr(machine, "jax_uses_bfloat16_units", lambda: True)
    monkeypatch.setattr(machine, "has_bfloat16_units", lambda: True)
    x, kernel = jnp.ones((rows, 2), jnp.bfloat16), jnp.asarray([[1 + 2**-12], [-1]], jnp.float32)
    out = ops.dense(x, kernel)
    assert out.dtype == jnp.bfloat16
    assert bool((out == 2**-12).all()) is digits_kept


def test_gradient_to_the_weights_keeps_its_digits():
    x, kernel = jnp.ones((3, 1), jnp.bfloat16), jnp.ones((1, 1), jnp.float32)
    scale = jnp.asarray([[1], [2**-7], [2**-14]], jnp.bfloat16)
    gradient = jax.grad(lambda kernel: (ops.dense(x, kernel) * scale).astype(jnp.float32).sum())(kernel)
    assert gradient.dtype == jnp.float32
    assert gradient.item() == 1 + 2**-7 + 2**-14
