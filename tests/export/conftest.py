"""One small real bundle, made once, copied by the tests that damage it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def run_export() -> Run:
    """`python -m export ARGUMENTS` in a fresh process."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "export", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)

    return run


@pytest.fixture(scope="session")
def _made_bundle(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Path:
    from distill.students.checkpoint import load_checkpoint
    from export.pipeline import export_bundles

    out = tmp_path_factory.mktemp("bundles")
    (outcome,) = export_bundles(
        load_checkpoint(tiny_checkpoint), [("torchscript", "fp32")], None, out, False, lambda _name, _what: None
    )
    assert outcome.state == "ok"
    assert outcome.bundle_dir is not None
    return outcome.bundle_dir


@pytest.fixture
def bundle(_made_bundle: Path, tmp_path: Path) -> Path:
    """A bundle of this test's own."""
    return Path(shutil.copytree(_made_bundle, tmp_path / _made_bundle.name))
