"""`fcnn.jit`: to its caller what `jax.jit` is; to the layers, the word that oneDNN will compute their convolutions."""

import os
import subprocess
import sys

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

import fcnn
from fcnn import ops
from fcnn.machine import compilation
from fcnn.ops.target import current_target


@pytest.fixture
def has_onednn(monkeypatch):
    monkeypatch.setattr(compilation, "has_onednn", lambda: True)


@pytest.fixture
def arrays(random):
    return [random.standard_normal(shape).astype(np.float32) for shape in ((16, 12, 12, 20), (3, 3, 20, 24))]


def squares(x, kernel):
    return jnp.sum(ops.conv2d(x, kernel) ** 2)


@pytest.mark.usefixtures("has_onednn")
def test_a_part_of_other_functions(arrays):
    expected = jax.jit(squares)(*arrays)
    part = fcnn.jit(squares)
    x, kernel = map(jnp.asarray, arrays)
    for found in (
        part(*arrays),
        part(x, kernel=kernel),
        jax.jit(part)(*arrays),
        jax.jit(lambda: part(x, kernel))(),
        fcnn.jit(lambda x, kernel: part(x, kernel))(*arrays),
        jax.lax.scan(lambda carry, _: (carry, part(x, kernel)), 0, length=2)[1][1],
        jax.vmap(part, in_axes=(0, None))(x[None], kernel)[0],
        jax.jit(jax.vmap(part, in_axes=(0, None)))(x[None], kernel)[0],
        jax.value_and_grad(part, argnums=1)(x, kernel)[0],
        jax.linearize(part, x, kernel)[0],
        jax.jit(jax.value_and_grad(part))(*arrays)[0],
        jax.export.export(part)(*arrays).call(*arrays),
        part.lower(*arrays).compile()(*arrays),
        part.trace(*arrays).lower().compile()(*arrays),
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert part.__name__ == "squares"


def test_options_are_those_of_jax():
    donating = fcnn.jit(lambda x, times: x * times, donate_argnums=0, static_argnums=1)
    x = jnp.ones(3)
    np.testing.assert_array_equal(donating(x, 2), [2, 2, 2])
    assert x.is_deleted()


@pytest.mark.usefixtures("has_onednn")
def test_layers_are_told_by_the_outermost_function_only(arrays):
    told = []

    @fcnn.jit
    def part(x, kernel):
        told.append(current_target().cpu.has_onednn)
        return ops.conv2d(x, kernel)

    part(*arrays)
    jax.jit(lambda *arrays: part(*arrays))(*arrays)
    fcnn.jit(lambda *arrays: part(*arrays))(*arrays)
    jax.jit(lambda *arrays: part(*arrays) + 1)(*arrays)
    assert told == [True, False, True, False]
    assert not current_target().cpu.has_onednn


@pytest.mark.usefixtures("has_onednn")
def test_what_has_no_convolution_for_it_is_left_to_xla(arrays):
    digits, kernel = np.zeros((2, 12, 12, 1), np.float32), np.zeros((5, 5, 1, 6), np.float32)
    for function, of, takes_it in (
        (ops.conv2d, arrays, True),
        (lambda x: fcnn.ops.max_pool(x, (2, 2)), arrays[:1], False),
        (
            lambda x, kernel: ops.conv2d_max_pool(x, kernel, jnp.zeros(6), jax.nn.relu, 2),
            (digits, kernel),
            False,
        ),
    ):
        assert bool(fcnn.jit(function)._with_onednn(of, {})) == takes_it


@pytest.mark.usefixtures("has_onednn")
def test_layers_are_told_no_longer_after_an_error():
    @fcnn.jit
    def fails(x):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fails(1.0)
    assert not current_target().cpu.has_onednn


def test_on_one_cpu_device_and_where_xla_knows_how(monkeypatch):
    knows = jax.__version_info__ >= (0, 12)
    assert jax.device_count() == 8
    assert not compilation.has_onednn()
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    assert compilation.has_onednn() == knows
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert not compilation.has_onednn()


def test_options_that_xla_does_not_know_are_left_out(monkeypatch):
    monkeypatch.setattr(compilation, "_WITH_ONEDNN", {"xla_cpu_no_such_option": True})
    assert not compilation._xla_knows_onednn.__wrapped__()


@pytest.mark.usefixtures("has_onednn")
@pytest.mark.skipif(jax.__version_info__ < (0, 12), reason="XLA has oneDNN's convolutions from JAX 0.12 on")
def test_output_and_both_gradients_are_onednns(arrays):
    program = fcnn.jit(jax.value_and_grad(squares, argnums=(0, 1))).lower(*arrays).compile().as_text()
    assert program.count('custom_call_target="__onednn$convolution"') == 3


# A step of a small network, as a user with one device has it.
ONE_DEVICE = """
import jax, numpy as np, fcnn
model, tx = fcnn.create_model("resnet_tiny", num_classes=3), fcnn.make_optimizer("sgd", 0.1)
state = fcnn.create_state(model, tx, key=jax.random.key(0), input_shape=(1, 32, 32, 3))
batch = {"image": np.zeros((2, 32, 32, 3), np.uint8), "label": np.zeros(2, np.int32)}
program = fcnn.make_train_step(model, tx).lower(state, batch).compile().as_text()
print(program.count('custom_call_target="__onednn$convolution"'))
"""


def test_steps_on_one_device_take_onednn():
    one_device = os.environ | {"XLA_FLAGS": ""}
    result = subprocess.run([sys.executable, "-c", ONE_DEVICE], env=one_device, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert (int(result.stdout) > 5) == (jax.__version_info__ >= (0, 12))
