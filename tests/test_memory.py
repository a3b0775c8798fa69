"""What a process does with the memory that it frees; in a process of its own, which the setting changes for good."""

import subprocess
import sys

import pytest

# How often the system maps a page while 64 MB are made anew twenty times, 16,384 pages each.
PAGES = """
import resource
import numpy as np
import fcnn
if {keep} and not fcnn.keep_freed_memory():
    raise SystemExit("no mallopt")
for turn in range(22):
    if turn == 2:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(2**24, np.float32)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def mapped_pages(keep):
    result = subprocess.run([sys.executable, "-c", PAGES.format(keep=keep)], capture_output=True, text=True)
    if "no mallopt" in result.stderr:
        pytest.skip("this C library has no mallopt")
    return int(result.stdout)


def test_freed_memory_is_used_again():
    # Without the setting they may be large pages, 512 times fewer.
    assert mapped_pages(keep=True) < 10 < mapped_pages(keep=False)
