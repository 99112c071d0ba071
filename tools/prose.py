#!/usr/bin/env python3
"""Checks the language rules of CONTRIBUTING.md: python3 tools/prose.py [FOLDER] [-v]

Reads docstrings, comments (Python, Lua, JavaScript), Markdown documents, and the subjects of commits since
the rules hold. A line is a hit when a sentence in it begins with who, what, whoever, whatever or whose; when
"nobody", "somebody" or "everybody" is a subject; a commit, when its subject is longer than 72 characters or
begins with "Let" or "Say". Exit code 1 when there is a hit; -v lists them.
"""

import ast
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator

# The last commit before the rules; a shallow clone may lack it, and then no commit is checked.
RULES_SINCE = "bceade5d39de"
LONGEST_SUBJECT = 72
BEGINNING = re.compile(
    r"(?:^|[.!?:;]\s+|[-*|]\s+)(Who|What|Whoever|Whatever|Whose|Of those|Of what)\b(?![^.?!]*\?)"
)
SUBJECT = re.compile(
    r"\b(?:nobody|somebody|everybody)\s+(?!else\b)"
    r"(?:[a-z]+s|is|are|was|has|had|may|can|will|would|could|need|knows)\b"
    r"|\b(?:Nobody|Somebody|Everybody)\b"
    r"|(?:^|[,;]\s)who(?:ever)?\s+(?:has|comes|asks|polls|waits|joins|is|was|reads|goes)\b"
)
CODE = re.compile(r"`[^`]*`|\[[^\]]*\]\([^)]*\)")
BAD_COMMIT = re.compile(r"(?:\w+: )?(Let|Say)\b", re.IGNORECASE)
LONGEST_SHOWN = 140

Lines = Iterator[tuple[int, str]]


def is_broken(text: str) -> bool:
    plain = CODE.sub("X", text.strip())
    return bool(BEGINNING.search(plain) or SUBJECT.search(plain))


def python_lines(path: pathlib.Path) -> Lines:
    source = path.read_text(encoding="utf-8", errors="replace")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            for paragraph in (ast.get_docstring(node) or "").split("\n\n"):
                yield getattr(node, "lineno", 1), " ".join(paragraph.split())
    for number, line in enumerate(source.splitlines(), 1):
        comment = re.search(r"(?:^|\s)#\s+(.*)", line)
        if comment and not line.strip().startswith("#!"):
            yield number, comment[1]


def marked_lines(path: pathlib.Path, mark: str) -> Lines:
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        comment = re.match(rf"\s*(?:{mark})\s+(.*)", line)
        if comment:
            yield number, comment[1]


def document_lines(path: pathlib.Path) -> Lines:
    is_code = False
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if line.startswith("```"):
            is_code = not is_code
        elif not is_code and line.strip():
            yield number, line


def lines_of(path: pathlib.Path) -> Lines:
    match path.suffix:
        case ".py":
            return python_lines(path)
        case ".md":
            return document_lines(path)
        case ".lua":
            return marked_lines(path, "--")
        case ".js":
            return marked_lines(path, r"//|\*")
    return iter(())


def git(folder: pathlib.Path, *words: str) -> list[str]:
    command = ["git", "-C", str(folder), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()


def hits_in_files(folder: pathlib.Path) -> list[str]:
    hits = []
    for name in git(folder, "ls-files", "--cached", "--others", "--exclude-standard"):
        path = folder / name
        if not path.is_file() or "/migrations/" in name or name == "CHANGELOG.md":
            continue
        for number, text in lines_of(path):
            if is_broken(text):
                hits.append(f"{name}:{number}: {text[:LONGEST_SHOWN]}")
    return hits


def hits_in_commits(folder: pathlib.Path) -> list[str]:
    if not git(folder, "rev-parse", "--verify", "--quiet", f"{RULES_SINCE}^{{commit}}"):
        return []
    hits = []
    for line in git(folder, "log", "--no-merges", "--format=%h %s", f"{RULES_SINCE}..HEAD"):
        subject = line.partition(" ")[2]
        if len(subject) > LONGEST_SUBJECT or BAD_COMMIT.match(subject) or is_broken(subject):
            hits.append(f"commit {line}")
    return hits


def main(arguments: list[str]) -> int:
    folders = [word for word in arguments if not word.startswith("-")]
    folder = pathlib.Path(folders[0] if folders else ".")
    files, commits = hits_in_files(folder), hits_in_commits(folder)
    if "-v" in arguments:
        sys.stdout.writelines(f"{hit}\n" for hit in (*files, *commits))
    sys.stdout.write(f"prose: {len(files)} lines in files, {len(commits)} commit subjects\n")
    return 1 if files or commits else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
