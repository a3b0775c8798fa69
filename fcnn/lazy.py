"""Names of a package that are imported when they are first used."""

import ast
import importlib
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def lazy_exports(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Returns `__getattr__` and `__dir__` of a package, which make the imports of its `if TYPE_CHECKING:` come true.

    So these are written once, as type checkers and readers know them, and cost nothing until a name is used: Matplotlib
    and Orbax take longer to import than JAX. See PEP 562. No module of the package may have an exported name.

    Args:
        package: its `__name__`.
    """
    module = sys.modules[package]
    sources = {
        alias.name: node.module
        for node in ast.walk(ast.parse(Path(module.__file__ or "").read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(package)
        for alias in node.names
    }

    def get_attribute(name: str) -> Any:
        if sources.get(name, package) != package:
            value = getattr(importlib.import_module(sources[name]), name)
            setattr(module, name, value)
            return value
        if not name.startswith("_") and find_spec(f"{package}.{name}"):
            return importlib.import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return get_attribute, lambda: sorted({*vars(module), *sources})
