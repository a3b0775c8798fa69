"""What a process does with the memory that it frees; in a process of its own, which the setting changes for good."""

import subprocess
import sys
from pathlib import Path

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


RESIDENT = """
import numpy as np
import fcnn
from fcnn.machine.memory import return_unused_memory
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


# How much more a process comes to hold in forty calls, each of which needs 64 MB of its own for a while.
GROWTH = """
import resource
import jax
import jax.numpy as jnp
import fcnn
if not fcnn.keep_freed_memory():
    raise SystemExit("no mallopt")
call = jax.jit(lambda x: jnp.sort(x + 1)[::2**20])
x = jnp.arange(2**23, dtype=jnp.float32)
for turn in range(42):
    jax.device_get(call(x))
    if turn == 1:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_what_a_call_needs_is_free_when_it_ends():
    result = subprocess.run([sys.executable, "-c", GROWTH], capture_output=True, text=True)
    if "no mallopt" in result.stderr:
        pytest.skip("this C library has no mallopt")
    assert int(result.stdout) < 16
