"""What a process does with the memory that it frees; in a process of its own, which the setting changes for good."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fcnn import memory

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


RESIDENT = """
import numpy as np
import fcnn
from fcnn.memory import return_unused_memory
fcnn.keep_freed_memory()
def resident():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS")) // 1024
blocks, kept = [], []
for _ in range(64):
    blocks.append(np.ones(2**18, np.float32))
    kept.append(bytearray(2**12))
del blocks
before = resident()
return_unused_memory()
print(before - resident())
"""


def test_unused_memory_is_returned():
    if not Path("/proc/self/status").exists():
        pytest.skip("this system does not tell how much memory is in use")
    result = subprocess.run([sys.executable, "-c", RESIDENT], capture_output=True, text=True, check=True)
    assert int(result.stdout) > 50


def test_memory_is_returned_when_it_has_grown(monkeypatch):
    held, returned = [100], []

    def trim():
        returned.append(held[0])
        held[0] = in_use

    monkeypatch.setattr(memory, "resident_memory", lambda: held[0])
    monkeypatch.setattr(memory, "return_unused_memory", trim)
    in_use, least = 40, memory.return_grown_memory(None)
    for now in (139, 90, 125):
        held[0] = now
        least = memory.return_grown_memory(least)
    assert (least, returned) == (90, [])
    held[0] = 130
    assert memory.return_grown_memory(least) == 90
    assert returned == [130]
    # What is in use is not returned again and again.
    held[0] = in_use = 150
    least = memory.return_grown_memory(90)
    assert least == 150
    assert memory.return_grown_memory(least) == 150
    assert returned == [130, 150]


def test_a_system_that_does_not_tell_what_is_held(tmp_path):
    assert memory.resident_memory(tmp_path / "statm") == 0
    (tmp_path / "statm").write_text("9 2 1 0 0 0 0\n")
    assert memory.resident_memory(tmp_path / "statm") == 2 * os.sysconf("SC_PAGE_SIZE")
