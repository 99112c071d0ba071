"""Aliases of stores: named by the settings, and by no other module."""

import ast
from pathlib import Path

import pytest
from django.conf import settings as django_settings

from audiocache import aliases, orders

PROJECT = Path(__file__).parents[2]
TAKES_AN_ALIAS = {"Order", "store_for", *(kind.value for kind in orders.Kind), "touch_at"}


def literal_aliases(source):
    """Calls with an alias in quotes: of `store_for`, of an order, or as the keyword `alias`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            arguments = node.args if name in TAKES_AN_ALIAS else []
            arguments = [*arguments, *(one.value for one in node.keywords if one.arg in ("alias", "default"))]
            yield from (
                one.value
                for one in arguments
                if isinstance(one, ast.Constant) and one.value in django_settings.AUDIO_STORES
            )


def test_the_alias_of_the_audio_of_blocks_has_a_store():
    assert aliases.AUDIO in aliases.ALL
    assert set(aliases.ALL) == set(django_settings.AUDIO_STORES)


@pytest.mark.parametrize("app", ["audiocache", "billing", "yapit", "benchmarks"])
def test_no_module_names_an_alias(app):
    named = {
        str(path.relative_to(PROJECT)): found
        for path in (PROJECT / app).rglob("*.py")
        if (found := list(literal_aliases(path.read_text())))
    }

    assert named == {}


@pytest.mark.parametrize(
    "source", ['store_for("audio")', 'orders.touch(redis, "documents", [])', 'open(alias="extractions")']
)
def test_a_named_alias_is_found(source):
    assert list(literal_aliases(source))
