"""The one error that a caller can mend: its message is one line to show as it stands."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Something given from outside cannot be used.

    The message is one line: what is wrong, what was expected, what was found, what to do.
    """


def unknown_name(kind: str, name: str, names: Iterable[str]) -> InputError:
    """Returns the error for a name that does not exist, with the nearest ones that do.

    Args:
        kind: what the name stands for, as in "network".
        name: the name that was given.
        names: the valid names.
    """
    names = sorted(names)
    nearest = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(nearest)}?" if nearest else f"there are {', '.join(names)}"
    return InputError(f"unknown {kind} {name!r}: {hint}")
