"""The report of a trained network: what is handed to the drawing, and what it takes to compute it."""

import logging
import re

import jax
import numpy as np
import optax
import pytest
from states import new_state

import fcnn


@pytest.fixture
def drawn(monkeypatch):
    """What the report was given to draw."""
    given = {}
    report = "fcnn.report.report_run"
    monkeypatch.setattr(report, lambda folder, **options: given.update(options) or folder / "page")
    return given


def test_the_way_of_an_image_costs_one_compilation(digits, drawn, tmp_path, caplog):
    model = fcnn.create_model("lenet", dropout_rate=0.5)
    prepare = fcnn.make_prepare((0.1,), (0.3,), size=(32, 32))
    state = new_state(model, optax.sgd(0.1), input_shape=(1, 32, 32, 1))
    evaluate_batch = fcnn.make_eval_step(model, prepare=prepare)
    examples = fcnn.Split(digits.images[:50], digits.labels[:50])
    fcnn.evaluate(state, evaluate_batch, examples, batch_size=20)
    options = {"title": "", "class_names": "0123456789", "prepare": prepare, "batch_size": 20}
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        page = fcnn.examine_run(tmp_path, model, state, examples, predict_batch=evaluate_batch.predict, **options)
    assert page == tmp_path / "page"
    assert re.findall(r"Finished XLA compilation of (\S+)", caplog.text) == ["jit(features_of)"]

    expected = jax.jit(lambda variables, images: fcnn.capture(model, variables, prepare(images)))(
        state.variables, examples.images[:1] / np.float32(255)
    )
    assert list(drawn["feature_maps"]) == ["c1", "s2", "c3", "s4", "c5", "f6", "output"]
    for name, maps in drawn["feature_maps"].items():
        np.testing.assert_allclose(maps, expected[name][0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(drawn["logits"][0], expected["output"][0], rtol=1e-4, atol=1e-5)
    assert drawn["logits"].shape == (50, 10)
    np.testing.assert_array_equal(drawn["kernels"], state.params["c1"]["kernel"])


def test_kernels_of_a_fully_connected_network_have_the_shape_of_the_image(digits, drawn, tmp_path):
    model = fcnn.create_model("mlp", hidden=(5,))
    state = new_state(model, optax.sgd(0.1))
    prepare = fcnn.make_prepare((0.1,), (0.3,))
    fcnn.examine_run(
        tmp_path, model, state, digits, title="", class_names="0123456789", prepare=prepare, batch_size=320
    )
    assert drawn["kernels"].shape == (28, 28, 1, 5)
    assert drawn["logits"].shape == (640, 10)
    assert drawn["images"] is digits.images


def test_images_in_numbers_from_0_to_1_are_drawn_as_those_in_bytes(digits, drawn, tmp_path):
    model = fcnn.create_model("mlp", hidden=())
    state = new_state(model, optax.sgd(0.1))
    examples = fcnn.Split(digits.images[:20] / np.float32(255), digits.labels[:20])
    fcnn.examine_run(
        tmp_path, model, state, examples, title="", class_names="0123456789", prepare=lambda images: images
    )
    np.testing.assert_array_equal(drawn["images"], digits.images[:20])
    assert drawn["images"].dtype == np.uint8
