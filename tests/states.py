"""The state before the first step, for tests of what comes after it: a network's variables are drawn once."""

import functools

import jax
import optax

import fcnn


@functools.cache
def drawn(model, seed, input_shape):
    state = fcnn.create_state(model, optax.identity(), key=jax.random.key(seed), input_shape=input_shape)
    return jax.device_get(state.variables)


def new_state(model, tx, *, seed=0, ema=False, input_shape=(1, 28, 28, 1)):
    variables = drawn(model, seed, input_shape)
    key = jax.random.key(seed)
    return fcnn.create_state(model, tx, key=key, input_shape=input_shape, variables=variables, ema=ema)
