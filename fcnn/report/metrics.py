"""Reads the numbers that a run wrote down while it trained."""

import json
from pathlib import Path

from fcnn.errors import InputError

METRICS = "metrics.jsonl"


def read_metrics(folder: Path) -> list[dict[str, int | float]]:
    """Returns the rows of a run's `metrics.jsonl`, one an epoch.

    Args:
        folder: the run's folder.

    Raises:
        InputError: if the file is missing, or a line is not a JSON object of numbers.
    """
    path = folder / METRICS
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist: give the folder of a run that has trained an epoch") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    return [_parse_row(line, path, number) for number, line in enumerate(lines, start=1)]


def _parse_row(line: str, path: Path, number: int) -> dict[str, int | float]:
    corrupt = InputError(
        f"{path} line {number} is corrupt: expected a JSON object of numbers, found {line[:60]!r}; remove the line"
    )
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise corrupt from error
    if not isinstance(row, dict) or not all(type(value) in (int, float) for value in row.values()):
        raise corrupt
    return row
