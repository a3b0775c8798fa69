"""Regular expressions for paths of layers and parameters, such as "layer1_0/conv1/kernel"."""

import difflib
import re
from collections.abc import Sequence

from fcnn.errors import InputError


def match_paths(paths: Sequence[str], patterns: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Returns the paths of the parameters that each pattern matches; where several match, the first one counts.

    Args:
        paths: of parameters.
        patterns: regular expressions; see `is_matched`.

    Raises:
        InputError: if a pattern is no regular expression or matches no parameter; the nearest paths are named.
    """
    matches: dict[str, tuple[str, ...]] = {}
    taken: set[str] = set()
    for pattern in patterns:
        try:
            found = [path for path in paths if is_matched(path, pattern)]
        except re.error as error:
            raise InputError(f"the pattern {pattern!r} is no regular expression: {error}") from error
        if not found:
            candidates = dict.fromkeys(part for path in paths for part in _with_layers(path))
            nearest = ", ".join(difflib.get_close_matches(pattern, candidates, n=3, cutoff=0.0))
            raise InputError(f"the pattern {pattern!r} matches no parameter; the nearest paths are {nearest}")
        matches[pattern] = tuple(path for path in found if path not in taken)
        taken.update(found)
    return matches


def is_matched(path: str, pattern: str) -> bool:
    """Returns whether a pattern matches a whole path, or that of a layer around it with all that is in it.

    Args:
        path: of a layer or a parameter.
        pattern: regular expression: "fc", "layer1_.*", ".*/bias".
    """
    return any(re.fullmatch(pattern, part) for part in _with_layers(path))


def _with_layers(path):
    """Returns the path and those of the layers around it: a, a/b, a/b/kernel."""
    parts = path.split("/")
    return ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]
