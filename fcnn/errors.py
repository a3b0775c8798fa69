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
    by_small_letters = {known.lower(): known for known in sorted(names)}
    nearest = difflib.get_close_matches(name.lower(), by_small_letters, n=3, cutoff=0.5)
    known = [by_small_letters[match] for match in nearest] or by_small_letters.values()
    hint = f"did you mean {' or '.join(known)}?" if nearest else f"there are {', '.join(known)}"
    return InputError(f"unknown {kind} {name!r}: {hint}")
