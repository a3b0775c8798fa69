"""The versions of JAX that compute wrong numbers on CPU stay excluded, and the installed one computes right ones.

https://github.com/jax-ml/jax/issues/39103 and 40412: on 0.10.2 a product under `vmap` followed by a sum is wrong.
"""

import importlib.metadata
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest


def test_excluded_versions_are_not_required():
    requirement = next(r for r in importlib.metadata.requires("fcnn") if re.match(r"jax\W", r))
    assert "!=0.10.2" in requirement
    assert "!=0.11.*" in requirement


@pytest.mark.parametrize("shape", [(4, 3, 5), (32, 16, 24), (7, 64, 33), (128, 36, 24)])
def test_vmapped_product_followed_by_a_sum(shape, random):
    batch, inner, outer = shape
    left = random.standard_normal((batch, 8, inner)).astype(np.float32)
    right = random.standard_normal((batch, inner, outer)).astype(np.float32)
    computed = jax.jit(lambda a, b: jax.vmap(jnp.matmul)(a, b).sum(axis=(0, 1)))(left, right)
    expected = np.einsum("bij,bjk->k", left.astype(np.float64), right.astype(np.float64))
    np.testing.assert_allclose(computed, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
