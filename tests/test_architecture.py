"""The rooms and who may import whom."""

import ast
import re
from pathlib import Path

import pytest

import fcnn

PACKAGE = Path(fcnn.__file__).parent
ARROWS = {
    "commands": {
        "data",
        "machine",
        "models",
        "ops",
        "parallel",
        "pretrained",
        "report",
        "runs",
        "tasks",
        "training",
        "use",
    },
    "use": {"data", "machine", "models", "ops", "parallel", "pretrained", "report", "runs", "tasks", "training"},
    "training": {"machine", "parallel", "runs"},
    "runs": {"parallel"},
    "pretrained": {"models"},
    "tasks": {"ops"},
    "models": {"ops"},
    "machine": {"ops"},
    "augment": set(),
    "data": set(),
    "ops": set(),
    "parallel": set(),
    "report": set(),
}
# What every room may use.
TOOLS = {"arrays", "draws", "errors", "files", "initial", "lazy", "patterns", "photos"}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(path):
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


@pytest.mark.parametrize("room", ARROWS)
def test_room_imports_only_what_its_arrows_say(room):
    files = [path for path in PACKAGE.rglob("*.py") if room_of(path) == room]
    assert files
    allowed = ARROWS[room] | TOOLS | {room}
    for path in files:
        reached = {name.split(".")[1] for name in imports(path) if name.startswith("fcnn.")}
        assert reached <= allowed, f"{path} imports {reached - allowed}"


def test_only_models_import_flax_linen():
    users = {room_of(path) for path in PACKAGE.rglob("*.py") for name in imports(path) if name.startswith("flax.linen")}
    assert users == {"models"}


def test_every_room_is_known():
    rooms = {room_of(path) for path in PACKAGE.rglob("*.py")}
    assert rooms == ARROWS.keys() | TOOLS | {"__init__", "__main__"}


@pytest.mark.parametrize("tool", sorted(TOOLS))
def test_tools_use_each_other_only(tool):
    reached = {name.split(".")[1] for name in imports(PACKAGE / f"{tool}.py") if name.startswith("fcnn.")}
    assert reached <= TOOLS


def test_public_names_exist():
    for name in fcnn.__all__:
        assert getattr(fcnn, name) is not None


@pytest.mark.parametrize("room", ["training", "runs", "parallel"])
def test_no_task_is_known_by_name(room):
    of_one_task = re.compile(r"top.?[15]\b|one.hot|class.names|confusion|.(classification|segmentation)[\"'(]", re.I)
    for path in (path for path in PACKAGE.rglob("*.py") if room_of(path) == room):
        found = of_one_task.search(path.read_text())
        assert not found, f"{path}: {found[0]}"
