"""The README is run: every code block, in order, in a copy of the project; and every relative link is opened."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)#]+)[^)]*\)")
TIME_LIMIT_S = 1800


def _markdown_files() -> list[Path]:
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that git tracks, with the virtual environment that runs this test as `.venv`."""
    folder = tmp_path_factory.mktemp("readme")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in tracked.split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)  # with its time, so that make has nothing to install
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


def test_every_block_is_in_a_language_that_is_run() -> None:
    assert {language for language, _ in BLOCK.findall(README)} <= {"bash", "python"}


def test_every_code_block_runs(copy: Path) -> None:
    """`make test` alone is not run again inside itself: that it is the command CI runs is checked instead."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    for language, block in BLOCK.findall(README):
        if block.strip() == "make test":
            assert "make test" in (ROOT / ".ci" / "run").read_text()
            assert subprocess.run(["make", "-n", "test"], cwd=copy, check=False).returncode == 0
            continue
        command = (
            ["bash", "-euc", block] if language == "bash" else [str(copy / ".venv" / "bin" / "python"), "-c", block]
        )
        done = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, text=True, timeout=TIME_LIMIT_S, check=False
        )
        assert done.returncode == 0, f"{block}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


@pytest.mark.parametrize("path", _markdown_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    links = [link for link in LINK.findall(path.read_text()) if "://" not in link and not link.startswith("mailto:")]
    for link in links:
        assert (path.parent / link).exists(), f"{path.name}: {link}"


def test_the_readme_has_links_to_check() -> None:
    assert len(LINK.findall(README)) > 5
