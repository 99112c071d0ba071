"""Every key name that yapit uses in Redis is listed in a module of key names, and Python builds it there."""

import ast
import inspect
import re
from pathlib import Path

import billing.redis_keys
import config.redis.keys
from yapit import redis_keys

YAPIT = Path(redis_keys.__file__).parent
FIRST_PART = re.compile(r"[a-z-]+")


def families(module):
    """First parts of the names in a module: of its constants, and of what its functions return."""
    found = set()
    for name, value in vars(module).items():
        if name.isupper() and isinstance(value, str):
            found.add(FIRST_PART.match(value).group())
        elif inspect.isfunction(value):
            key = value(*["x"] * len(inspect.signature(value).parameters))
            found.add(FIRST_PART.match(key).group())
    return found


SHARED = families(config.redis.keys) | families(billing.redis_keys) | {"persist"}
LISTED = redis_keys.KEYS.keys() | SHARED


def families_in_lua():
    source = "".join(path.read_text() for path in YAPIT.rglob("*.lua"))
    built = re.findall(r"'([a-z-]+):[a-z:]*' \.\.", source)
    fixed = re.findall(r"redis\.call\('[A-Z]+', '([a-z-]+)(?::[a-z]+)?'", source)
    return {*built, *fixed}


def built_in_python(path):
    """f-strings that begin with the first part of a key name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
            family, colon, _ = node.values[0].value.partition(":")
            if colon and family in LISTED:
                yield f"{path.relative_to(YAPIT)}:{node.lineno}"


def test_key_names_in_scripts_are_listed():
    assert families_in_lua() <= LISTED


def test_functions_build_listed_names():
    assert families(redis_keys) <= redis_keys.KEYS.keys()


def test_python_builds_key_names_in_the_module_of_key_names_only():
    paths = [path for path in YAPIT.rglob("*.py") if path.name != "redis_keys.py"]

    assert [place for path in paths for place in built_in_python(path)] == []


def test_listed_names_are_used():
    outside_scripts = {"dead", "gain", "ticket", "limit"}

    assert redis_keys.KEYS.keys() - families_in_lua() <= outside_scripts
