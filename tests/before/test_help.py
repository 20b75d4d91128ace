"""Every command has the options and help texts that it had before the packages moved, but for what is told here.

`help.json` was printed at 100 columns by the commit before (tests/before/make.py). The order of sections is free.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

BEFORE: dict[str, str] = json.loads((Path(__file__).parent / "help.json").read_text())
PACKAGES = ("distill", "export", "bench", "devices")

# What is new since, and why; a text that is not here must be word for word what it was.
NEW_COMMANDS = {"bench head-to-head": "students against their teacher, others' students and hashes"}
NEW_OPTIONS = {
    ("distill pack", "--size"): "a student may detect more at another size than it was trained at",
    (
        "distill cache-teacher",
        "--teacher-size",
    ): "a graph of free size is run at the size one asks for",
}
CHANGED_INTROS = {"distill train": "one more recipe"}
CHANGED_OPTIONS = {
    ("distill", "train"): "one more recipe",
    ("export", "--student"): "three more students",
    ("distill cache-teacher", "--views"): "one view: the photograph itself",
}


def commands() -> Iterator[str]:
    for package in PACKAGES:
        app = importlib.import_module(f"{package}.__main__").app
        command = typer.main.get_command(app)
        yield package
        yield from (f"{package} {name}" for name in getattr(command, "commands", {}))


COMMANDS = sorted(commands())


def help_of(words: str) -> str:
    package, *rest = words.split()
    app = importlib.import_module(f"{package}.__main__").app
    environment = {"COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1"}
    done = CliRunner().invoke(app, [*rest, "--help"], env=environment, prog_name=f"python -m {package}")
    assert done.exit_code == 0, done.output
    return done.stdout


def parts(text: str) -> tuple[str, dict[str, str]]:
    """What stands outside of the boxes, and each entry of the boxes by its name, white space folded."""
    outside: list[str] = []
    entries: dict[str, list[str]] = {}
    name = ""
    for line in text.splitlines():
        inner = re.fullmatch(r"│ (.*) │", line.strip())
        if inner is None:
            name = ""
            if not line.lstrip().startswith(("╭", "╰")):
                outside.append(line)
            continue
        cell = re.match(r"\*? {0,3}(\S.*)", inner[1])
        begins = re.match(r"\*?\s{0,4}(--?[\w-]+|[a-z]\S*|\[?[A-Z]\S*|\S+)\s", inner[1] + " ")
        if cell and begins and len(inner[1]) - len(inner[1].lstrip()) <= 4:
            name = begins[1]
            entries[name] = []
        entries.setdefault(name, []).append(inner[1])
    return " ".join(" ".join(outside).split()), {key: " ".join(" ".join(rows).split()) for key, rows in entries.items()}


def test_no_command_is_gone_and_none_is_new_without_a_word() -> None:
    assert set(COMMANDS) - NEW_COMMANDS.keys() == BEFORE.keys()


@pytest.mark.parametrize("words", sorted(BEFORE))
def test_the_help_text_is_what_it_was(words: str) -> None:
    outside, entries = parts(help_of(words))
    outside_before, entries_before = parts(BEFORE[words])
    assert (outside != outside_before) == (words in CHANGED_INTROS)
    new = {name for command, name in NEW_OPTIONS if command == words}
    new |= {command.removeprefix(f"{words} ") for command in NEW_COMMANDS if command.startswith(f"{words} ")}
    changed = {name for command, name in CHANGED_OPTIONS if command == words}
    assert entries.keys() - new == entries_before.keys()
    assert new <= entries.keys()
    for name in entries_before.keys() - changed:
        assert entries[name] == entries_before[name], name
    for name in changed:
        assert entries[name] != entries_before[name], f"{name} is as it was: take it out of the table"
