"""Rectification: that of JAX, for numbers of 16 bits too."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcnn import ops

NUMBERS = [-jnp.inf, -2.5, -0.0, 0.0, 1e-3, 3.0, jnp.inf, jnp.nan]


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_is_that_of_jax_with_its_derivatives(dtype):
    x = jnp.asarray(NUMBERS, dtype)
    tangent = jnp.arange(1, len(x) + 1).astype(dtype)

    def all_of(relu):
        return *jax.jvp(relu, (x,), (tangent,)), *jax.vjp(relu, x)[1](tangent)

    for found, expected in zip(all_of(ops.relu), all_of(jax.nn.relu), strict=True):
        assert found.dtype == dtype
        np.testing.assert_array_equal(found.astype(jnp.float32), expected.astype(jnp.float32))


def test_second_derivatives_and_vmap():
    x = jnp.asarray([[-1.0, 0.5], [2.0, 0.0]], jnp.bfloat16)

    def cubes(relu):
        return lambda row: jnp.sum(relu(row).astype(jnp.float32) ** 3)

    found, expected = (jax.vmap(jax.hessian(cubes(relu)))(x) for relu in (ops.relu, jax.nn.relu))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_is_kept_in_training_where_xla_would_compute_it_again(dtype):
    x = jnp.asarray(NUMBERS, dtype)

    def in_training(x):
        out, back = jax.vjp(ops.relu, x)
        return out, back(x)

    is_kept = ["optimization_barrier" in jax.jit(of).lower(x).as_text() for of in (in_training, ops.relu)]
    assert is_kept == [dtype == jnp.float32, False]
    (found,), (expected,) = (jax.vjp(relu, x)[1](x) for relu in (ops.relu, jax.nn.relu))
    np.testing.assert_array_equal(found.astype(jnp.float32), expected.astype(jnp.float32))
