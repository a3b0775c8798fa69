"""A small stack machine for the pickles of PyTorch's weight files, which can build nothing but plain data.

A pickle is a program. Python's own unpickler imports whatever the program names and calls it; this machine knows
the instructions that PyTorch writes and builds dicts, lists, tuples, numbers, strings and descriptions of tensors. It
imports nothing, sets no attribute, and calls nothing but the few functions of `torch_objects`.
"""

import pickletools
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, NamedTuple

from fcnn.errors import InputError
from fcnn.pretrained.torch_objects import StorageReference, allowed_global, construct, set_items, storage_reference

# The pickle of Inception v3's weights has 18,000 instructions, that of a checkpoint with optimizer state a few times as
# many. As one byte of a pickle can make an object of 64 bytes, the limit bounds the memory too.
MAX_INSTRUCTIONS = 1_000_000


class Pickle(NamedTuple):
    """What a pickle describes.

    `content` is made of dicts, lists, tuples, numbers, strings, booleans, None and `TensorReference`s; `storages` has
    the first reference to each key.
    """

    content: object
    storages: dict[str, StorageReference]


def read_pickle(stream: BytesIO) -> Pickle:
    """Returns what the pickle at the stream's position describes, and leaves the stream behind its end.

    Args:
        stream: the file's content.

    Raises:
        InputError: the pickle is damaged, or wants more than weights need; nothing of it has run.
    """
    machine = _Machine()
    try:
        for count, (instruction, argument, _) in enumerate(pickletools.genops(stream)):
            if count >= MAX_INSTRUCTIONS:
                raise InputError(f"its pickle has more than {MAX_INSTRUCTIONS:,} instructions: refused")
            machine.execute(instruction.name, argument)
        content = machine.stack[-1]
    except InputError:
        raise
    except (ValueError, IndexError, KeyError) as error:
        raise InputError("its pickle is damaged or cut off: get the file again") from error
    return Pickle(content, machine.storages)


@dataclass
class _Machine:
    stack: list = field(default_factory=list)
    below_marks: list[list] = field(default_factory=list)
    memo: dict[int, object] = field(default_factory=dict)
    storages: dict[str, StorageReference] = field(default_factory=dict)
    copied: int = 0

    def execute(self, instruction: str, argument: Any) -> None:
        """Executes one instruction, named as in `pickletools`.

        Raises:
            InputError: the instruction, or what it is applied to, has no place in a weight file.
            IndexError, KeyError: the stack or the memo lacks what the instruction needs.
        """
        match instruction:
            case "PROTO":
                if argument > 5:
                    raise InputError(f"its pickle has protocol {argument}, the latest is 5: refused")
            case "FRAME" | "STOP":
                pass
            case (
                ("BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT")
                | ("BINUNICODE" | "SHORT_BINUNICODE" | "BINUNICODE8")
                | ("BINSTRING" | "SHORT_BINSTRING")  # the strings of Python 2
            ):
                self.stack.append(argument)
            case "NONE":
                self.stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                self.stack.append(instruction == "NEWTRUE")
            case "EMPTY_TUPLE":
                self.stack.append(())
            case "EMPTY_LIST":
                self.stack.append([])
            case "EMPTY_DICT":
                self.stack.append({})
            case "MARK":
                self.below_marks.append(self.stack)
                self.stack = []
            case "TUPLE":
                items = self._pop_to_mark()
                self.stack.append(tuple(items))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                length = int(instruction[-1])
                items = [self.stack.pop() for _ in range(length)]
                self.stack.append(tuple(reversed(items)))
            case "APPEND":
                item = self.stack.pop()
                self._top(list).append(item)
            case "APPENDS":
                items = self._pop_to_mark()
                self._top(list).extend(items)
            case "SETITEM":
                value, key = self.stack.pop(), self.stack.pop()
                set_items(self._top(dict), [key, value])
            case "SETITEMS":
                items = self._pop_to_mark()
                set_items(self._top(dict), items)
            case "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = self.stack[-1]
            case "MEMOIZE":
                self.memo[len(self.memo)] = self.stack[-1]
            case "BINGET" | "LONG_BINGET":
                self.stack.append(self.memo[argument])
            case "GLOBAL":
                self.stack.append(allowed_global(".".join(argument.split(" ", 1))))
            case "STACK_GLOBAL":
                name, module = self.stack.pop(), self.stack.pop()
                self.stack.append(allowed_global(f"{module}.{name}" if type(module) is type(name) is str else ""))
            case "REDUCE":
                arguments, function = self.stack.pop(), self.stack.pop()
                self._count_copies(arguments)
                self.stack.append(construct(function, arguments))
            case "BUILD":
                # A state dict carries `_metadata`, versions of its modules, as an attribute: it is left out.
                self.stack.pop()
                self._top(dict)
            case "BINPERSID":
                storage = storage_reference(self.stack.pop())
                self.storages.setdefault(storage.key, storage)
                self.stack.append(storage)
            case _:
                raise InputError(f"its pickle has the instruction {instruction}, which weights do not need: refused")

    def _count_copies(self, arguments: object) -> None:
        # A list can be handed over again and again in a few bytes, and may be copied each time.
        if type(arguments) is tuple:
            self.copied += sum(len(argument) for argument in arguments if type(argument) in (list, tuple))
        if self.copied > MAX_INSTRUCTIONS:
            raise InputError(f"its pickle copies more than {MAX_INSTRUCTIONS:,} objects: refused")

    def _pop_to_mark(self) -> list:
        items, self.stack = self.stack, self.below_marks.pop()
        return items

    def _top(self, expected: type):
        top = self.stack[-1]
        if type(top) is not expected:
            raise InputError(f"its pickle treats a {type(top).__name__} as a {expected.__name__}: refused")
        return top
