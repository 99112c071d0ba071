"""Documents: the paths, names, make targets and links in them exist."""

import pkgutil
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.stack import ROOT

DOCUMENTS = sorted(
    str(path.relative_to(ROOT))
    for pattern in ("*.md", "docs/*.md", "packaging/*/*.md")
    for path in ROOT.glob(pattern)
)
APPS = ("config", "audiocache", "billing", "yapit")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
CODE_SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
SOURCE_SUFFIXES = (".py", ".lua", ".md", ".toml", ".in")
# Named in advance; remove each here once it exists.
NOT_MODULES = {"yapit.v1"}  # a WebSocket subprotocol


def read(document):
    return (ROOT / document).read_text()


def code_spans(text):
    return set(CODE_SPAN.findall(FENCED.sub("", text)))


# --- Paths and names ---------------------------------------------------------------------------------------


def looks_like_a_path(span):
    is_plain = re.fullmatch(r"[\w.<>/-]+", span) and not span.startswith(("/", "."))
    top = span.partition("/")[0]
    is_below_the_root = "/" in span and (ROOT / top).is_dir()
    return bool(is_plain) and (is_below_the_root or span.endswith(SOURCE_SUFFIXES))


def exists(path):
    """Whether a file or folder has this path, or ends with it; `<name>` stands for any name."""
    pattern = re.sub(r"<[^>]*>", "*", path).rstrip("/")
    return any(ROOT.glob(pattern)) or any(fnmatch(file, f"*/{pattern}") for file in source_files())


def source_files():
    for folder in (*APPS, "tests", "benchmarks", "packaging"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in SOURCE_SUFFIXES:
                yield str(path.relative_to(ROOT))


def missing_paths(text):
    return {span for span in code_spans(text) if looks_like_a_path(span) and not exists(span)}


def missing_names(text):
    """Dotted names of modules, classes and functions that do not exist."""
    names = {
        span for span in code_spans(text) if re.fullmatch(rf"(?:{'|'.join(APPS)})(?:\.[A-Za-z_]\w*)+", span)
    }
    return {name for name in names - NOT_MODULES if not can_resolve(name)}


def can_resolve(name):
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_path_exists(document):
    assert missing_paths(read(document)) == set()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_dotted_name_exists(document):
    assert missing_names(read(document)) == set()


@pytest.mark.parametrize("path", ["yapit/gone/", "yapit/gone.py", "gone.lua", "yapit/<name>/gone.py"])
def test_a_missing_path_is_reported(path):
    assert missing_paths(f"see `{path}`, `manage.py` and `yapit/api/v1/<resource>.py`") == {path}


@pytest.mark.parametrize("name", ["config.gone", "yapit.engines.Gone", "yapit.gone.Engine"])
def test_a_missing_name_is_reported(name):
    assert missing_names(f"see `{name}` and `yapit.engines.Engine`") == {name}


# --- Make targets ------------------------------------------------------------------------------------------


def make_targets(text):
    lines = [line for block in FENCED.findall(text) for line in block.splitlines()]
    return {match[1] for code in (*lines, *code_spans(text)) if (match := re.match(r"make ([a-z-]+)", code))}


def missing_targets(text):
    existing = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    return make_targets(text) - set(existing)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_make_target_exists(document):
    assert missing_targets(read(document)) == set()


def test_a_missing_target_is_reported():
    assert missing_targets("`make gone` or\n```\nmake lost   # all\nmake test\n```\n") == {"gone", "lost"}


# --- Links -------------------------------------------------------------------------------------------------


def anchors(text):
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(text, folder=Path()):
    return {target for target in LINK.findall(FENCED.sub("", text)) if is_broken(target, text, folder)}


def is_broken(target, text, folder):
    if re.match(r"[a-z]+:", target):
        return False
    path, _, anchor = target.partition("#")
    if path and not (ROOT / folder / path).exists():
        return True
    return bool(anchor) and anchor not in anchors(read(folder / path) if path else text)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_somewhere(document):
    assert broken_links(read(document), Path(document).parent) == set()


@pytest.mark.parametrize("target", ["gone.md", "#gone", "operations.md#gone", "../docs/gone.md#settings"])
def test_a_broken_link_is_reported(target):
    text = f"# Here\n[a]({target}) [b](operations.md#settings) [c](#here) [d](https://example.org/#gone)\n"

    assert broken_links(text, Path("docs")) == {target}
