"""What a program waits for before its first step."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

import fcnn
from fcnn import initial
from fcnn.draws import Draw, draw_arrays, scaled_normal_array, unaligned_array

# Used in some runs only, and long to import.
OCCASIONAL = ("matplotlib", "orbax", "requests", "tensorboardX", "tensorflow_datasets", "tensorstore")
USES = {
    "the package": "import fcnn",
    "training": "import fcnn; fcnn.create_model, fcnn.create_state, fcnn.make_train_step, fcnn.fit, fcnn.load_dataset",
    "an experiment": "import fcnn; fcnn.run_experiment, fcnn.conclude_run, fcnn.tasks, fcnn.augment",
    "the list": "import fcnn.commands.main as commands; assert commands.main(['list']) == 0",
}


def imported_by(code):
    """Returns the top packages that a fresh process has imported after some code."""
    code += "; import sys; print(*{name.split('.')[0] for name in sys.modules})"
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    return set(out.splitlines()[-1].split())


@pytest.mark.parametrize("use", USES)
def test_only_what_is_used_is_imported(use):
    found = imported_by(USES[use])
    assert "fcnn" in found
    assert found.isdisjoint(OCCASIONAL)
    assert ("jax" in found) == (use != "the package")


def test_the_names_of_lazy_packages_are_all_there():
    for package in (fcnn, fcnn.report, fcnn.report.classification, fcnn.report.segmentation, fcnn.runs, fcnn.commands):
        assert set(package.__all__) <= set(dir(package))
        for name in package.__all__:
            assert getattr(package, name) is not None
    with pytest.raises(AttributeError, match="'fcnn.report' has no attribute 'report_runs'"):
        _ = fcnn.report.report_runs


@pytest.fixture
def programs():
    """The programs that are compiled: one entry each."""
    compiled = []

    def count(event, duration, **_):
        if event.endswith("backend_compile_duration"):
            compiled.append(event)

    jax.clear_caches()
    jax.monitoring.register_event_duration_secs_listener(count)
    yield compiled
    jax.monitoring.unregister_event_duration_listener(count)


@pytest.mark.parametrize("name", ["lenet", "resnet50", "fcn8s_small"])
def test_a_state_takes_few_programs_and_none_grows_with_the_network(name, key, programs, monkeypatch):
    operations = []
    evaluate = jax.extend.core.jaxpr_as_fun
    monkeypatch.setattr(
        initial.core, "jaxpr_as_fun", lambda traced: operations.append(len(traced.jaxpr.eqns)) or evaluate(traced)
    )
    model = fcnn.create_model(name)
    shape = (1, *model.input_shape)
    fcnn.create_state(model, fcnn.make_optimizer("sgd", 0.1), key=key, input_shape=shape, ema=True)
    # They fold the key, draw, find the device, and compute the little that is left.
    assert 1 <= len(programs) <= 5
    assert operations == [0]


MODEL = fcnn.create_model("resnet_tiny", num_classes=7)
SHAPE = (1, 40, 40, 3)


@pytest.mark.parametrize("ema", [False, True])
def test_values_are_those_of_the_model(ema, key):
    tx = optax.adam(0.1)
    state = fcnn.create_state(MODEL, tx, key=key, input_shape=SHAPE, ema=ema)
    expected = initialised(MODEL, key, SHAPE)
    assert_same(state.variables, expected)
    assert_same(state.opt_state, tx.init(expected["params"]))
    assert_same(state.ema, expected if ema else None)
    assert state.step == 0
    assert not state.step.weak_type


def test_every_array_has_memory_of_its_own(key):
    state = fcnn.create_state(MODEL, optax.adam(0.1), key=key, input_shape=SHAPE, ema=True)
    arrays = jax.tree.leaves(state._replace(key=jax.random.key_data(state.key)))
    places = [array.unsafe_buffer_pointer() for array in arrays]
    assert len({*places, jax.random.key_data(key).unsafe_buffer_pointer()}) == len(places) + 1
    before = jax.tree.map(np.array, state.variables)
    fcnn.create_state(MODEL, optax.adam(0.1), key=jax.random.key(1), input_shape=SHAPE)
    assert_same(state.variables, before)


def test_host_memory_is_copied():
    memory = unaligned_array((300, 4096), np.float32)
    memory.fill(1)
    array = jax.device_put(memory).block_until_ready()
    memory.fill(2)
    assert (np.asarray(array) == 1).all()


class Guest(nn.Module):
    """A network that begins in ways the library does not know."""

    @nn.compact
    def __call__(self, x, *, train):
        kernel = self.param("kernel", lambda key: 2 * fcnn.models.he_normal(key, (3, 5)) + jax.random.uniform(key))
        start = self.param("start", nn.initializers.normal(), (4,))
        other = self.param("other", lambda key: start[:2] + 1)
        self.variable("batch_stats", "seen", lambda: np.full((2, 3), 7, np.int32))
        self.variable("counts", "calls", lambda: 0)
        x = nn.remat(fcnn.models.Dense)(5, name="dense")(x.reshape(len(x), -1))
        return nn.Dropout(0.5, deterministic=not train)(x + kernel[0] + other[0])


@pytest.mark.parametrize("generator", ["threefry2x32", "rbg"])
def test_other_networks_begin_as_they_say(generator):
    key = jax.random.key(3, impl=generator)
    state = fcnn.create_state(Guest(), optax.sgd(0.1, momentum=0.9), key=key, input_shape=(1, 2, 2, 1))
    expected = initialised(Guest(), key, (1, 2, 2, 1))
    assert_same(state.params, expected["params"])
    assert_same(state.batch_stats, expected["batch_stats"])


def test_a_state_is_made_within_a_compiled_function_and_for_many_keys():
    def make(key):
        return fcnn.create_state(MODEL, optax.sgd(0.1), key=key, input_shape=SHAPE).params

    keys = jax.random.split(jax.random.key(5), 2)
    both = jax.jit(jax.vmap(make))(keys)
    one_by_one = jax.tree.map(lambda *arrays: np.stack(arrays), *map(make, keys))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=0), both, one_by_one)


def test_a_state_is_where_the_key_is(key):
    device = jax.devices()[3]
    state = fcnn.create_state(MODEL, optax.sgd(0.1, momentum=0.9), key=jax.device_put(key, device), input_shape=SHAPE)
    assert {leaf.devices().pop() for leaf in jax.tree.leaves(state)} == {device}
    mesh = fcnn.make_mesh()
    state = fcnn.create_state(
        MODEL, optax.sgd(0.1), key=fcnn.parallel.replicate(mesh, {"key": key})["key"], input_shape=SHAPE
    )
    assert all(len(leaf.devices()) == 8 and leaf.is_fully_replicated for leaf in jax.tree.leaves(state.params))


def test_many_arrays_are_those_drawn_one_by_one(key):
    shapes = [(5,), (64, 64), (64, 65), (3, 3, 64, 600), (4096 * 1100,), (2, 2)]
    draws = [Draw(number + 7, 0.5 + number, shape) for number, shape in enumerate(shapes)]
    arrays = [array.copy() for array in draw_arrays(key, draws)]
    for draw, array in zip(draws, arrays, strict=True):
        expected = scaled_normal_array(jax.random.fold_in(key, draw.data), draw.deviation, draw.shape)
        np.testing.assert_array_equal(array, expected)
    first = jax.random.normal(jax.random.fold_in(jax.random.fold_in(key, 7), 0), (4096,))
    np.testing.assert_allclose(arrays[0], 0.5 * first[:5], rtol=1e-6)
    assert arrays[4].std() == pytest.approx(4.5, rel=1e-3)


def initialised(model, key, shape):
    """The variables as Flax makes them."""
    parameters = jax.random.fold_in(key, 0)
    images = jnp.zeros(shape)
    return jax.jit(lambda key: model.init({"params": key, "dropout": key}, images, train=True))(parameters)


def assert_same(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    jax.tree.map(np.testing.assert_array_equal, one, other)
