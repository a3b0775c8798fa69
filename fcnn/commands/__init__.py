"""The command line, and what the mains of experiments share."""

from fcnn.commands.experiment import RunOptions, run_experiment

__all__ = ["RunOptions", "run_experiment"]
