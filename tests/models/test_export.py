"""A network can be exported with the number of images left open, as its users serve it."""

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

import fcnn


@pytest.mark.parametrize(("name", "size", "channels"), [("lenet", 32, 1), ("resnet_tiny", 32, 3)])
def test_exported_for_any_number_of_images(name, size, channels, random):
    model = fcnn.create_model(name)
    variables = jax.jit(lambda key: model.init(key, jnp.zeros((1, size, size, channels)), train=False))(
        jax.random.key(0)
    )

    def loss(images):
        logits, _ = model.apply(variables, images, train=True, mutable=["batch_stats"])
        return jnp.square(logits).sum()

    def logits_and_gradient(images):
        return model.apply(variables, images, train=False), jax.grad(loss)(images)

    (count,) = jax.export.symbolic_shape("count")
    images = jax.ShapeDtypeStruct((count, size, size, channels), jnp.float32)
    program = jax.export.export(jax.jit(logits_and_gradient), platforms=("cpu", "cuda"))(images)
    for count in (1, 4):
        images = jnp.asarray(random.standard_normal((count, size, size, channels)), jnp.float32)
        for found, expected in zip(program.call(images), jax.jit(logits_and_gradient)(images), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
