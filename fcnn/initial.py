"""The arrays with which something begins, such as a network's, without a compilation for each."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.extend import core

from fcnn.draws import Draw, draw_arrays, is_threefry, unaligned_array

# Numbers in an array that is computed where it stays: to copy it from the host takes longer than a compilation.
_LARGE = 2**24


def make_initial(function: Callable[..., Any], key: jax.Array, *arguments: Any) -> Any:
    """Returns `jax.jit(function)(key, *arguments)`, to the last bit, with much less to compile.

    XLA takes 20 ms on a CPU to compile the derivation of a key, 100 ms for a random array and 10 ms for one of zeros,
    and the state of a network has hundreds of them. So the function is only traced. What its results do not need is
    left out, such as the layers where a network is initialised; one program draws the arrays of `scaled_normal_array`
    whose keys are folded from `key`; arrays of one number come from the host. All else, such as the initializers of
    others, is compiled as it is.

    Args:
        function: from a random key and other arrays to arrays.
        key: the first argument.
        *arguments: the others.
    """
    if isinstance(key, Tracer):  # This is a part of a function that is compiled.
        return function(key, *arguments)
    traced, shapes = jax.make_jaxpr(function, return_shape=True)(key, *arguments)
    if traced.effects or not is_threefry(key):  # Effects keep their order.
        return jax.jit(function)(key, *arguments)
    return jax.tree.unflatten(jax.tree.structure(shapes), _evaluate(traced, key, jax.tree.leaves(arguments)))


def _evaluate(traced, key, arguments):
    """Returns the results of a traced function, each in memory of its own."""
    jaxpr = traced.jaxpr
    equations = _needed(jaxpr.eqns, jaxpr.outvars)
    folds = {equation.outvars[0]: equation for equation in equations if _is_fold_of(jaxpr.invars[0], equation)}
    draws = {equation.outvars[0]: equation for equation in equations if _is_draw(equation, folds)}
    repeats = {equation.outvars[0]: equation for equation in equations if _is_repeat(equation)}
    made = draws | repeats

    others = [atom for atom in jaxpr.outvars if not _is_in(made, atom)]
    rest = _needed([equation for equation in equations if equation.outvars[0] not in made], others)
    inputs = list(dict.fromkeys(atom for equation in rest for atom in equation.invars if _is_in(made, atom)))
    uses = Counter([*inputs, *(atom for atom in jaxpr.outvars if _is_in(made, atom))])

    # Where a compiled function puts what it computes with such arguments.
    where = jax.jit(lambda key, *_: key, keep_unused=True)(key, *arguments)
    device = where.sharding if where.committed else None

    def place(atom, array):
        return jax.block_until_ready([jax.device_put(array, device) for _ in range(uses[atom])])

    drawn = draw_arrays(_on_one_device(key), [_as_draw(equation, folds) for equation in draws.values()])
    placed = {atom: place(atom, array) for atom, array in zip(draws, drawn, strict=True)}
    placed |= {atom: place(atom, array) for atom, array in _repeated(repeats)}
    jaxpr = jaxpr.replace(eqns=rest, invars=[*jaxpr.invars, *inputs], outvars=others)
    compute = jax.jit(core.jaxpr_as_fun(core.ClosedJaxpr(jaxpr, traced.consts)))
    computed = iter(compute(key, *arguments, *(placed[atom].pop() for atom in inputs)))
    return [placed[atom].pop() if _is_in(made, atom) else next(computed) for atom in traced.jaxpr.outvars]


def _on_one_device(key):
    """Returns a key with which each process draws by itself what all of them hold."""
    if len(key.devices()) == 1:
        return key
    return jax.random.wrap_key_data(jnp.asarray(np.asarray(jax.random.key_data(key))), impl="threefry2x32")


def _repeated(repeats):
    """Yields arrays of one number each; all those of a number are in the same memory."""
    memory = {}
    for atom, equation in sorted(repeats.items(), key=lambda item: -item[0].aval.size):
        number = np.asarray(equation.invars[0].val, atom.aval.dtype)
        like = number.tobytes(), number.dtype
        if like not in memory:
            memory[like] = unaligned_array((atom.aval.size,), number.dtype)
            memory[like].fill(number)
        yield atom, memory[like][: atom.aval.size].reshape(atom.aval.shape)


def _needed(equations, results):
    """Returns the equations on which results depend, in their order."""
    wanted = set(filter(_is_variable, results))
    needed = []
    for equation in reversed(equations):
        if not wanted.isdisjoint(equation.outvars):
            needed.append(equation)
            wanted.update(filter(_is_variable, equation.invars))
    return needed[::-1]


def _is_variable(atom):
    return not isinstance(atom, core.Literal)


def _is_in(variables, atom):
    return _is_variable(atom) and atom in variables


def _is_fold_of(root, equation):
    """Returns whether an equation folds a number into a key."""
    return (
        equation.primitive.name == "random_fold_in"
        and equation.invars[0] is root
        and not _is_variable(equation.invars[1])
    )


def _is_draw(equation, folds):
    """Returns whether an equation is a call of `scaled_normal_array` with a folded key."""
    return (
        equation.params.get("name") == "scaled_normal_array"
        and not _is_variable(equation.invars[1])
        and _is_in(folds, equation.invars[0])
        and equation.outvars[0].aval.size < _LARGE
    )


def _as_draw(equation, folds):
    key, deviation = equation.invars
    return Draw(folds[key].invars[1].val, deviation.val, equation.outvars[0].aval.shape)


def _is_repeat(equation):
    """Returns whether an equation repeats a number."""
    (number, *sizes), result = equation.invars, equation.outvars[0].aval
    if equation.primitive.name != "broadcast_in_dim" or _is_variable(number) or sizes:
        return False
    return result.size < _LARGE and not result.weak_type
