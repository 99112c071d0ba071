"""The rooms of the four apps: outside a room, only names that its `__init__` lists in `__all__` are used."""

import ast
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
APPS = ("config", "audiocache", "billing", "yapit")
# Django finds these by itself; nothing imports them.
NOT_ROOMS = {"migrations", "management"}
PATHS_IN_SETTINGS = PROJECT / "config" / "settings.py"


def packages():
    for app in APPS:
        for init in sorted((PROJECT / app).glob("*/__init__.py")):
            if init.parent.name not in NOT_ROOMS:
                yield f"{app}.{init.parent.name}"


ROOMS = sorted(packages())


def source_files():
    for app in APPS:
        for path in sorted((PROJECT / app).rglob("*.py")):
            if "migrations" not in path.parts:
                yield path


def public_names(room):
    """The names in `__all__`, or None where there is no such list."""
    tree = ast.parse((PROJECT / room.replace(".", "/") / "__init__.py").read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(getattr(one, "id", "") == "__all__" for one in node.targets):
            return set(ast.literal_eval(node.value))
    return None


def imported_names(tree):
    """Every module or attribute that the file imports, in full."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name


def paths_in(tree):
    """Dotted names in strings, as settings have them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def uses():
    """(file, room, name in that room) for each name that a file outside the room takes from it."""
    for path in source_files():
        module = path.relative_to(PROJECT).with_suffix("").as_posix().replace("/", ".")
        tree = ast.parse(path.read_text())
        names = set(imported_names(tree))
        if path == PATHS_IN_SETTINGS:
            names |= set(paths_in(tree))
        for name in names:
            room = ".".join(name.split(".")[:2])
            if room in ROOMS and room != ".".join(module.split(".")[:2]) and name != room:
                yield module, room, name.split(".")[2]


USES = sorted(set(uses()))


def test_there_are_rooms_and_uses_of_them():
    assert len(ROOMS) > 25
    assert len(USES) > 150


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_it_is_and_lists_its_public_names(room):
    text = (PROJECT / room.replace(".", "/") / "__init__.py").read_text()

    assert ast.get_docstring(ast.parse(text))
    assert public_names(room), f"{room} has no __all__"


@pytest.mark.parametrize("room", ROOMS)
def test_only_public_names_of_a_room_are_used_outside(room):
    public = public_names(room) or set()
    private = [
        f"{module} uses {room}.{name}" for module, used, name in USES if used == room and name not in public
    ]

    assert private == []


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_of_a_room_exists(room):
    folder = PROJECT / room.replace(".", "/")
    names = public_names(room) or set()
    bound = {
        name.rpartition(".")[2] for name in imported_names(ast.parse((folder / "__init__.py").read_text()))
    }
    defined = {
        getattr(node, "name", None) or getattr(node.targets[0], "id", "")
        for node in ast.parse((folder / "__init__.py").read_text()).body
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef, ast.Assign))
    }
    modules = {path.stem for path in folder.glob("*.py")} | {
        path.parent.name for path in folder.glob("*/__init__.py")
    }

    assert sorted(names - bound - defined - modules) == []
