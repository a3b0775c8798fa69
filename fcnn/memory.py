"""How a process gets its memory."""

import ctypes
import os
from pathlib import Path

# Parameters of mallopt(3).
_FAST_BINS, _TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = 1, -1, -4, -8
# More than so many times the memory that a call needs: what it freed before was not used again.
_GROWTH = 1.4


def keep_freed_memory() -> bool:
    """Has this process keep memory that it frees for its next use, instead of returning it to the system each time.

    The arrays of a training step are hundreds of megabytes, which the C library gets from the system before every step
    and returns after it; each page of them is then mapped and cleared again. Kept, a step of ResNet-20 takes a tenth
    less time on CPU, one of VGG-11 a third less. The price is memory: where something small stays in the place of an
    array, or a step's is freed late, the next array needs another place. `return_grown_memory` ends that growth.

    To be called before anything else touches a device. It changes the whole process, and so is for its main program.

    Returns:
        Whether the C library knows how; glibc does.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is None:
        return False
    # One arena, of any size, never trimmed (-1), nothing by a mapping of its own. Without fast bins, what an aligned
    # array leaves at its ends joins it again when it is freed, so that the next array of its size fits in.
    options = ((_ARENA_MAX, 1), (_TRIM_THRESHOLD, -1), (_MMAP_MAX, 0), (_FAST_BINS, 0))
    return all(set_option(*option) for option in options)


def return_unused_memory() -> None:
    """Returns to the system what this process has freed and not yet used again, where the C library knows how.

    That may be much after a compilation, or, where freed memory is kept, after a call that ended late.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def resident_memory(statm: Path = Path("/proc/self/statm")) -> int:
    """Returns the bytes of this process in main memory, 0 where the system does not tell.

    Args:
        statm: where Linux tells, in pages.
    """
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0


def return_grown_memory(least: int | None) -> int:
    """Returns unused memory to the system if the process holds more than it needs; to be called after each call.

    Args:
        least: what this function returned the last time; None the first time.

    Returns:
        The bytes that the process held after the call that left least, or that it turned out to need.
    """
    held = resident_memory()
    if least is None or held <= _GROWTH * least:
        return held if least is None else min(held, least)
    return_unused_memory()
    # What is still there is in use.
    return max(least, resident_memory())
