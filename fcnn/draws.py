"""Random arrays, many of which are drawn by one program."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.extend import core
from jaxtyping import Array, Float, Key

_BLOCK = 4096
# Blocks that a call draws, and of these at a time: enough for all cores, few enough for their caches.
_BLOCKS_A_CALL, _BLOCKS_AT_A_TIME = 256, 8
# Numbers in an array that is computed where it stays: to copy it from the host takes longer than another compilation.
_LARGE = 2**24


@partial(jax.jit, static_argnames="shape")
def scaled_normal_array(key: Key[Array, ""], deviation: float, shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Returns Gaussian numbers with a mean of 0; `draw_together` draws many such arrays at once.

    The numbers come in blocks, each with a key of its own, so that they do not depend on how many are drawn at once.

    Args:
        key: what they are drawn with.
        deviation: their standard deviation.
        shape: of the array.
    """
    at_a_time = _BLOCKS_AT_A_TIME if _is_threefry(key) else None
    numbers = np.arange(_count_blocks(shape))
    blocks = lax.map(lambda number: _draw_block(key, number, deviation), numbers, batch_size=at_a_time)
    return blocks.reshape(-1)[: math.prod(shape)].reshape(shape)


def draw_together(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the function compiled, as by `jax.jit`, with the same results to the last bit, in much less time.

    XLA takes 20 ms on a CPU to compile the derivation of a key, 100 ms for a random array and 10 ms for one of zeros,
    and the state of a network has hundreds of them. So the function is traced, and what its results do not need is left
    out, such as the layers where a network is initialised. One program, the same for every function, draws all
    arrays of `scaled_normal_array`; the host makes those of a constant; a second program computes all else as it is
    written.

    Args:
        function: from a random key, which is not itself drawn with but folded, and other arrays, to arrays.
    """

    def together(key, *arguments):
        if isinstance(key, jax.core.Tracer):  # A part of a function that is compiled.
            return function(key, *arguments)
        traced, shapes = jax.make_jaxpr(function, return_shape=True)(key, *arguments)
        if traced.effects or not _is_threefry(key):  # Effects keep their order.
            return jax.jit(function)(key, *arguments)
        return jax.tree.unflatten(jax.tree.structure(shapes), _evaluate(traced, key, *jax.tree.leaves(arguments)))

    return together


def _is_threefry(key):
    """Returns whether keys give the same numbers one by one and many at once; with other generators they do not."""
    return str(jax.random.key_impl(key)) == "threefry2x32"


def _evaluate(traced, key, *arguments):
    """Returns the results of a traced function, each in memory of its own."""
    jaxpr = traced.jaxpr
    made = _make(_needed(jaxpr.eqns, jaxpr.outvars), jaxpr.invars[0], key)
    others = [atom for atom in jaxpr.outvars if not _is_in(made, atom)]
    rest = _needed([equation for equation in jaxpr.eqns if equation.outvars[0] not in made], others)
    inputs = {atom: made[atom] for equation in rest for atom in equation.invars if _is_in(made, atom)}
    # The key is a result as well: it tells where a compiled function puts what it computes with such arguments.
    computed = jaxpr.replace(eqns=rest, invars=[*jaxpr.invars, *inputs], outvars=[jaxpr.invars[0], *others])
    compute = jax.jit(core.jaxpr_as_fun(core.ClosedJaxpr(computed, traced.consts)))
    where, *results = compute(key, *arguments, *inputs.values())
    results = iter(results)
    place = partial(jax.device_put, device=where.sharding if where.committed else None, may_alias=False)
    return [place(made[atom]) if _is_in(made, atom) else next(results) for atom in jaxpr.outvars]


def _make(equations, root, key) -> dict[core.Var, np.ndarray]:
    """Returns the arrays that are made without a program of their own: drawn ones, and constant ones."""
    folded = {equation.outvars[0]: _literal(equation) for equation in equations if _is_fold_of(root, equation)}
    draws = [equation for equation in equations if _is_draw(equation, folded)]
    drawn = _draw(
        key,
        [folded[equation.invars[0]] for equation in draws],
        [_literal(equation) for equation in draws],
        [equation.outvars[0].aval.shape for equation in draws],
    )
    made = dict(zip((equation.outvars[0] for equation in draws), drawn, strict=True))
    return made | _repeat_numbers([equation for equation in equations if _is_constant(equation)])


def _repeat_numbers(equations):
    """Returns constant arrays, all those of a number in the same memory."""
    pools, made = {}, {}
    for equation in sorted(equations, key=lambda equation: -equation.outvars[0].aval.size):
        number, result = np.asarray(equation.invars[0].val).item(), equation.outvars[0].aval
        if (number, result.dtype) not in pools:
            pools[number, result.dtype] = np.full(result.size, number, result.dtype)
        made[equation.outvars[0]] = pools[number, result.dtype][: result.size].reshape(result.shape)
    return made


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
    return (
        equation.primitive.name == "random_fold_in"
        and equation.invars[0] is root
        and not _is_variable(equation.invars[1])
    )


def _is_draw(equation, folded):
    return (
        equation.params.get("name") == scaled_normal_array.__name__
        and not _is_variable(equation.invars[1])
        and _is_in(folded, equation.invars[0])
        and equation.outvars[0].aval.size < _LARGE
    )


def _is_constant(equation):
    """Returns whether an equation only repeats a number."""
    (source, *sizes), result = equation.invars, equation.outvars[0].aval
    if equation.primitive.name != "broadcast_in_dim" or _is_variable(source) or sizes:
        return False
    return result.size < _LARGE and not result.weak_type


def _literal(equation):
    """Returns the number that stands beside a key."""
    return equation.invars[1].val


def _draw(key, data, deviations, shapes) -> list[np.ndarray]:
    """Returns `scaled_normal_array(fold_in(key, data), deviation, shape)` for all data, deviations and shapes."""
    counts = [_count_blocks(shape) for shape in shapes]
    ends = np.cumsum([0, *counts])
    rows = (
        np.repeat(np.array(data, np.uint32), counts),
        np.repeat(np.array(deviations, np.float32), counts),
        np.arange(ends[-1]) - np.repeat(ends[:-1], counts),
    )
    blocks = np.empty((ends[-1], _BLOCK), np.float32)
    for start in range(0, len(blocks), _BLOCKS_A_CALL):
        part = [row[start : start + _BLOCKS_A_CALL] for row in rows]
        missing = _BLOCKS_A_CALL - len(part[0])
        drawn = _draw_blocks(key, *(np.pad(row, (0, missing)) for row in part))
        blocks[start : start + _BLOCKS_A_CALL] = np.asarray(drawn)[: len(part[0])]
    return [
        blocks[start:end].reshape(-1)[: math.prod(shape)].reshape(shape)
        for start, end, shape in zip(ends[:-1], ends[1:], shapes, strict=True)
    ]


@jax.jit
def _draw_blocks(key, data, deviations, numbers):
    return lax.map(
        lambda row: _draw_block(jax.random.fold_in(key, row[0]), row[2], row[1]),
        (data, deviations, numbers),
        batch_size=_BLOCKS_AT_A_TIME,
    )


def _count_blocks(shape):
    return -(-math.prod(shape) // _BLOCK)


def _draw_block(key, number, deviation):
    return deviation * jax.random.normal(jax.random.fold_in(key, number), (_BLOCK,))
