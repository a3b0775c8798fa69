"""What this machine has, and how a process uses it: compilation and memory."""

from fcnn.machine.compilation import Compiled, has_onednn, jit
from fcnn.machine.memory import keep_freed_memory, return_unused_memory

__all__ = ["Compiled", "has_onednn", "jit", "keep_freed_memory", "return_unused_memory"]
