import jax.numpy as jnp
import numpy as np
import pytest

import fcnn
from fcnn.training.penalties import kernel_penalty
from fcnn.training.state import TrainState


def test_pads_with_black_and_normalises():
    images = jnp.ones((2, 28, 27, 3))
    prepared = fcnn.make_prepare((0.5, 0.2, 0.0), (0.25, 0.5, 1.0), size=(32, 32))(images)
    assert prepared.shape == (2, 32, 32, 3)
    np.testing.assert_allclose(prepared[:, 2:30, 2:29], np.broadcast_to([2.0, 1.6, 1.0], (2, 28, 27, 3)), rtol=1e-6)
    np.testing.assert_allclose(prepared[:, 0, 0], np.broadcast_to([-2.0, -0.4, 0.0], (2, 3)), rtol=1e-6)


@pytest.mark.parametrize(
    ("images", "expected"), [((1, 33, 32, 1), "33x32 do not fit into 32x32"), ((1, 8, 8, 3), "3 channels.*mean has 1")]
)
def test_images_that_do_not_fit_are_refused(images, expected):
    with pytest.raises(fcnn.InputError, match=expected):
        fcnn.make_prepare((0.1,), (0.3,), size=(32, 32))(jnp.zeros(images))


def test_a_constant_channel_is_refused():
    with pytest.raises(fcnn.InputError, match="standard deviation"):
        fcnn.make_prepare((0.1,), (0.0,))


def test_penalties_by_hand():
    params = {"a": {"kernel": jnp.array([1.0, -2.0]), "bias": jnp.array([5.0])}}
    assert kernel_penalty(params, l1=0.1, l2=0.2) == pytest.approx(0.1 * 3 + 0.1 * 5)


def test_the_state_is_a_tuple_of_the_fields_of_the_design():
    assert TrainState._fields == ("step", "params", "batch_stats", "opt_state", "ema", "key")
