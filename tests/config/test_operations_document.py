"""docs/operations.md: every command, option, setting and metric that exists, and no others."""

import ast
import re
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand

PROJECT = Path(__file__).parents[2]
OPERATIONS = (PROJECT / "docs" / "operations.md").read_text()
PAGES = OPERATIONS + (PROJECT / "README.md").read_text()
ROOMS = ("config", "audiocache", "billing", "yapit")
COMMANDS = sorted(name for name, app in get_commands().items() if app in ROOMS)
DJANGO_COMMANDS = {"migrate", "clearsessions"}
UNDOCUMENTED = {"DEBUG", "XDG_STATE_HOME", "YAPIT_KEY"}  # for development, of the system, of clients


def sources():
    return [ast.parse(path.read_text()) for room in ROOMS for path in (PROJECT / room).rglob("*.py")]


def calls_of(tree, owner, names):
    """(function name, arguments) of each call of `owner.name(...)`."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=value), attr=name), args=args):
                if value == owner and name in names:
                    yield name, args


def rows(title):
    """The cells of the first table under a heading."""
    section = OPERATIONS.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    table = re.search(r"(?:^\|.*\n)+", section, re.MULTILINE)
    assert table, title
    return [[cell.strip() for cell in line.strip(" |").split(" | ")] for line in table[0].splitlines()[2:]]


# --- Commands ----------------------------------------------------------------------------------------------


def options_of(command):
    parser = load_command_class(get_commands()[command], command).create_parser("manage.py", command)
    inherited = BaseCommand().create_parser("manage.py", "any")
    return options_in(parser) - options_in(inherited)


def options_in(parser):
    """The long options that the help text lists."""
    return set(re.findall(r"(?<![\w-])--[a-z][\w-]*", parser.format_usage()))


def options():
    return [(command, option) for command in COMMANDS for option in sorted(options_of(command))]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_documented(command):
    assert re.search(rf"`(?:manage\.py )?{command}\b", OPERATIONS)


@pytest.mark.parametrize(("command", "option"), options())
def test_every_option_is_documented(command, option):
    assert re.search(rf"`[^`\n]*{option}\b", OPERATIONS)


def test_every_command_in_the_documents_exists():
    named = set(re.findall(r"manage\.py (\w+)", PAGES)) | set(re.findall(r"`(run_\w+)", PAGES))

    assert named - DJANGO_COMMANDS <= set(COMMANDS)


def test_every_option_in_the_documents_exists():
    assert set(re.findall(r"`[^`\n]*?(--[a-z-]+)", OPERATIONS)) <= {option for _, option in options()}


# --- Settings ----------------------------------------------------------------------------------------------

READERS = {"str", "int", "float", "bool", "list", "dj_db_url"}


def settings_with_defaults():
    found = {"AUDIO_LIMIT_MB": 1024, "DOCUMENTS_LIMIT_MB": 1024, "EXTRACTIONS_LIMIT_MB": 1024}
    tree = ast.parse((PROJECT / "config" / "settings.py").read_text())
    for _, (name, *rest) in calls_of(tree, "env", READERS):
        if isinstance(name, ast.Constant):
            default = rest[0] if rest else None
            found.setdefault(name.value, default.value if isinstance(default, ast.Constant) else None)
    for tree in sources():
        for node in ast.walk(tree):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Attribute(attr="environ"), attr="get"), args=args):
                    if isinstance(args[0], ast.Constant):
                        found.setdefault(args[0].value, None)
    return found


SETTINGS = settings_with_defaults()


def documented_settings():
    """(name, default) of each setting; a row may have several."""
    for names, defaults, *_ in rows("Settings"):
        named = re.findall(r"`([A-Z_]+)`", names)
        values = defaults.split(", ") if ", " in defaults else [defaults] * len(named)
        yield from zip(named, values, strict=True)


DOCUMENTED = dict(documented_settings())


def test_exactly_the_settings_are_documented():
    assert SETTINGS.keys() - UNDOCUMENTED == DOCUMENTED.keys()


def test_settings_are_found_in_every_way_of_reading():
    """The control: each of these settings is read in another way."""
    assert {"AUDIO_DIR", "DATABASE_URL", "LOG_FORMAT", "ENGINE_THREADS", "AUDIO_LIMIT_MB"} <= SETTINGS.keys()


NUMBERS = [name for name, value in SETTINGS.items() if isinstance(value, int | float)]


@pytest.mark.parametrize("name", sorted(set(NUMBERS) & DOCUMENTED.keys()))
def test_the_documented_default_of_a_number_is_right(name):
    documented = re.match(r"[\d.]+", DOCUMENTED[name])

    assert documented
    assert float(documented[0]) == SETTINGS[name]


# --- Metrics -----------------------------------------------------------------------------------------------


def metrics():
    kinds = ("counter", "gauge", "histogram")
    calls = [call for tree in sources() for call in calls_of(tree, "metrics", kinds)]
    return {name.value + ("_total" if kind == "counter" else "") for kind, (name, *_) in calls}


def documented_metrics():
    return {name for first, *_ in rows("Monitoring") for name in re.findall(r"`([a-z_]+)[`{]", first)}


def test_exactly_the_metrics_are_documented():
    assert metrics() == documented_metrics()
