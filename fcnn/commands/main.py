"""The command line: `fcnn predict|list|summary|plan`, or `python -m fcnn`."""

import os
import sys
from collections.abc import Sequence

import tyro

from fcnn.commands.networks import List, Summary
from fcnn.commands.plan import Plan
from fcnn.commands.predict import Predict
from fcnn.errors import InputError


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: those of the process if None.

    Returns:
        The exit code: 0, or 2 if an argument cannot be used, which one line on stderr explains.
    """
    command = tyro.cli(Predict | List | Summary | Plan, prog="fcnn", description=__doc__, args=arguments)
    try:
        command.run()
        sys.stdout.flush()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader, such as head, has seen enough; Python would fail once more in flushing the rest at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
