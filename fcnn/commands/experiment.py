"""From a command line to runs: what every experiment shares around its own `train`."""

import atexit
import contextlib
import dataclasses
import gc
import io
import re
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import tyro
from rich.console import Console

from fcnn import parallel
from fcnn.errors import InputError, unknown_name
from fcnn.machine.memory import keep_freed_memory
from fcnn.pretrained.download import cache_folder
from fcnn.runs import open_run, settle_run
from fcnn.training import NonFiniteLossError
from fcnn.use import Result

_OLDEST_PROGRAM = 30 * 24 * 3600  # seconds


@dataclasses.dataclass(frozen=True)
class Numerics:
    """How it computes; the result depends on it, so that it is recorded with the config."""

    precision: Literal["highest"] | None = None
    """Of products and convolutions in float32: "highest" is float32. Without it, a GPU rounds what it multiplies to
    TF32, which has 10 bits after the point instead of 23, and a TPU to bfloat16; a CPU computes in float32 anyway."""


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """How and where to run; the result does not depend on it."""

    run_folder: Path | None = None
    """Folder of the run; runs/NAME by default. Several seeds get a folder each in it."""
    resume: bool = False
    """Continue the run that the folder holds, exactly where its last checkpoint stands."""
    overwrite: bool = False
    """Begin anew in the place of the run that the folder holds."""
    seeds: int = 1
    """Number of runs, with the seeds from --seed on."""
    compilation_cache: bool = True
    """Keep compiled programs in the user's cache folder, from where the next run has them at once."""
    coordinator: str | None = None
    """Address host:port of process 0, where several processes train together."""
    processes: int = 1
    """Number of processes."""
    process: int = 0
    """Number of this process, from 0."""


def run_experiment(
    name: str,
    recipes: Mapping[str, Any],
    train: Callable[[Any, Path, Console], Result | float],
    arguments: Sequence[str] | None = None,
) -> None:
    """Runs an experiment from its command line, and ends the process with a code other than 0 where it fails.

    Args:
        name: of the experiment, and of its run folder.
        recipes: default configs by name, each a frozen dataclass with a `seed`; the first one is the default, and
            --recipe takes another.
        train: `(config, run_folder, console) -> result`, which `conclude_run` returns, or a test accuracy.
        arguments: the command line; the process' own by default.
    """
    # A last collection at the exit of the process would look through all of JAX for half a second.
    atexit.register(gc.freeze)
    keep_freed_memory()
    console = Console(highlight=False, soft_wrap=True)
    try:
        config, numerics, options = parse(recipes, sys.argv[1:] if arguments is None else arguments)
        parallel.initialize_processes(options.coordinator, options.processes, options.process)
        console = console if parallel.is_main_process() else Console(quiet=True)
        if options.compilation_cache:
            _keep_compiled_programs(console)
        with _precision(numerics):
            _run_seeds(name, config, numerics, options, train, console)
    except KeyboardInterrupt as stop:
        print(str(stop) or "stopped", file=sys.stderr)
        sys.exit(130)
    except (InputError, NonFiniteLossError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def parse(recipes: Mapping[str, Any], arguments: Sequence[str]) -> tuple[Any, Numerics, RunOptions]:
    """Returns the config, how it is computed, and the run's options that a command line asks for.

    Args:
        recipes: default configs by name, the first one the default.
        arguments: the command line; each option overrides a field of the recipe.

    Raises:
        InputError: if an option or a value is not one that there is.
    """
    recipe, rest = _take_recipe(recipes, arguments)
    default = recipes[recipe]
    parts = {"config": default, "numerics": Numerics(), "run": RunOptions()}
    fields = [(name, type(part), dataclasses.field(default=part)) for name, part in parts.items()]
    together = dataclasses.make_dataclass("Arguments", fields, frozen=True)
    known = {field.name.replace("_", "-") for part in parts.values() for field in dataclasses.fields(part)}
    for argument in rest:
        option = re.match(r"--(?:no-)?([^=]+)", argument)
        if option and option[1].replace("_", "-") not in known | {"help"}:
            raise unknown_name("option", argument, [f"--{name}" for name in (*known, "recipe")])
    description = (
        f"{type(default).__doc__}\n\nRecipes (--recipe): {', '.join(recipes)}; defaults are those of {recipe}."
    )
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            parsed = tyro.cli(tyro.conf.OmitArgPrefixes[together], args=rest, description=description)
    except SystemExit as stop:
        if not stop.code:
            raise
        # Below a title, in a frame.
        lines = [line.strip("╭╮╰╯│─|+- ") for line in complaint.getvalue().splitlines()]
        raise InputError(f"{[line for line in lines if line][1]} (--help lists the options)") from stop
    return parsed.config, parsed.numerics, parsed.run


def _precision(numerics):
    """Returns a context in which steps are traced with a precision; None leaves what the user has told JAX."""
    precision = numerics.precision
    return contextlib.nullcontext() if precision is None else jax.default_matmul_precision(precision)


def _recorded(config, numerics):
    """Returns all that the result depends on, as one dataclass."""
    settings = {
        field.name: getattr(part, field.name) for part in (numerics, config) for field in dataclasses.fields(part)
    }
    return dataclasses.make_dataclass("Settings", settings)(**settings)


def _keep_compiled_programs(console):
    """Has JAX keep what it compiles in the user's cache folder, unless the user has told JAX where, or not to.

    JAX finds a program by its code and options, the versions of JAX and XLA, and the features of the machine.
    """
    options = jax.config.values
    if not options["jax_enable_compilation_cache"] or options["jax_compilation_cache_dir"] is not None:
        return
    folder = cache_folder() / "compiled"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
        for program in folder.glob("*-cache"):
            with contextlib.suppress(FileNotFoundError):  # another run may have removed it
                if program.stat().st_mtime < time.time() - _OLDEST_PROGRAM:
                    program.unlink()
    except OSError as error:
        console.print(f"compiled programs are not kept, {folder} cannot be written: {error.strerror}")
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    # A program whose writing was cut off, by a kill or a full disk, is compiled anew.
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache")
    if jax.default_backend() == "cpu" and options["jax_logging_level"] == "NOTSET":
        # On CPUs with AVX-512, XLA reports an error for every program that it loads, because it does not find its own
        # tuning options among the features of the machine (jax issue 38445). The level of its messages can be set
        # together with that of Python's only, which is put back.
        jax.config.update("jax_logging_level", "CRITICAL")
        jax.config.update("jax_logging_level", "NOTSET")


def _take_recipe(recipes, arguments):
    """Returns the recipe that is asked for, and the other arguments: it decides what their defaults are."""
    recipe, rest, arguments = next(iter(recipes)), [], iter(arguments)
    for argument in arguments:
        if argument.split("=")[0] == "--recipe":
            recipe = argument.split("=", 1)[1] if "=" in argument else next(arguments, "")
        else:
            rest.append(argument)
    if recipe not in recipes:
        raise unknown_name("recipe", recipe, recipes)
    return recipe, rest


def _run_seeds(name, config, numerics, options, train, console):
    if options.seeds < 1:
        raise InputError(f"--seeds must be at least 1, got {options.seeds}")
    top = options.run_folder or Path("runs") / name
    results = []
    for seed in range(config.seed, config.seed + options.seeds):
        folder = top if options.seeds == 1 else top / f"seed_{seed}"
        seeded = dataclasses.replace(config, seed=seed)
        if parallel.is_main_process():
            open_run(folder, _recorded(seeded, numerics), resume=options.resume, overwrite=options.overwrite)
        parallel.wait_for_all(f"run folder of seed {seed}")
        try:
            results.append(_result(train(seeded, folder, console)))
        finally:
            if parallel.is_main_process():
                settle_run(folder)
    if options.seeds > 1:
        for name, text in results[0].formats.items():
            values = [result.metrics[name] for result in results]
            deviation = re.sub(r"^[^{]*", "", text).format(statistics.stdev(values))
            console.print(f"over {options.seeds} seeds: {text.format(statistics.mean(values))} ± {deviation}")


def _result(reached: Result | float) -> Result:
    if isinstance(reached, Result):
        return reached
    return Result({"accuracy": reached}, {"accuracy": "test accuracy {:.3%}"})
