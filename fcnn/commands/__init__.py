"""The command line, and what the mains of experiments share."""

from typing import TYPE_CHECKING

from fcnn.lazy import lazy_exports

if TYPE_CHECKING:
    from fcnn.commands.experiment import RunOptions, run_experiment

__all__ = ["RunOptions", "run_experiment"]

__getattr__, __dir__ = lazy_exports(__name__)
