"""What this machine has, and how a process uses it: compilation and memory."""

from fcnn.machine.compilation import jit
from fcnn.machine.memory import keep_freed_memory, return_unused_memory

__all__ = ["jit", "keep_freed_memory", "return_unused_memory"]
