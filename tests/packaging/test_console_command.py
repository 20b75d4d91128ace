"""`icd-mobile`, as pip installs it: the packages' own commands, wherever it is started and whatever lies there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from importlib.metadata import distributions
from pathlib import Path
from types import SimpleNamespace

import pytest

COMMANDS = ("distill", "export", "bench", "devices")


@pytest.fixture
def hiding(tmp_path: Path) -> Path:
    """A working folder with a package or a file of each of the four names, none of them ours."""
    for name in COMMANDS:
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not ours')")
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "__init__.py").write_text("raise SystemExit('not ours')")
    (tmp_path / "bench").mkdir()  # without code, as a folder of results
    return tmp_path


@pytest.mark.parametrize("words", [("--help",), ("-h",)])
def test_help_names_the_four_commands(words: tuple[str, ...], built: SimpleNamespace, tmp_path: Path) -> None:
    done = built.run(built.installed, tmp_path, "-m", "icd_mobile", *words)
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")] == list(COMMANDS)


def test_no_command_is_wrong_use(built: SimpleNamespace, tmp_path: Path) -> None:
    assert built.run(built.installed, tmp_path, "-m", "icd_mobile").returncode == 2


def test_a_mistyped_command_gets_the_nearest(built: SimpleNamespace, tmp_path: Path) -> None:
    done = built.run(built.installed, tmp_path, "-m", "icd_mobile", "exprot")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "did you mean 'export'?" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        (*words,)
        for name in COMMANDS
        for words in ((name, "--help"), (name, "--no-such-option"), (name, "no-such-argument"))
    ]
    + [("distill",), ("export",), ("bench", "run", "--help"), ("bench", "run", "--bundle", "nowhere")],
    ids=" ".join,
)
def test_a_command_answers_as_under_python_m(words: tuple[str, ...], built: SimpleNamespace, tmp_path: Path) -> None:
    through = built.run(built.installed, tmp_path, "-m", "icd_mobile", *words)
    plain = built.run(built.installed, tmp_path, "-m", *words)
    assert (through.returncode, through.stdout, through.stderr) == (plain.returncode, plain.stdout, plain.stderr)


def test_the_installed_script_runs_ours(built: SimpleNamespace, hiding: Path) -> None:
    """The script that pip writes, in a folder that hides all four packages from `python -m`."""
    path = dict.fromkeys([str(built.installed), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path)}
    done = subprocess.run(
        [sys.executable, str(built.installed / "bin" / "icd-mobile"), "devices", "--json"],
        cwd=hiding,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "host" in json.loads(done.stdout)["attached"]


def test_python_m_icd_mobile_runs_ours_too(built: SimpleNamespace, hiding: Path) -> None:
    """The working folder stands first on Python's path here; what is hidden from `python -m` shows that it does."""
    assert "not ours" in built.run(built.installed, hiding, "-m", "export", "--help").stderr
    for name in COMMANDS:
        done = built.run(built.installed, hiding, "-m", "icd_mobile", name, "--help")
        assert done.returncode == 0, done.stderr
        assert "Usage" in done.stdout


def test_processes_that_a_command_starts_find_ours_too(built: SimpleNamespace, dataset_dir: Path, hiding: Path) -> None:
    words = ("make-dataset", "--images", str(dataset_dir), "--out", "made", "--workers", "2", "--json")
    done = built.run(built.installed, hiding, "-m", "icd_mobile", "bench", *words)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["num_images"]["queries"] > 0


@pytest.fixture
def own_install(built: SimpleNamespace, tmp_path: Path) -> Path:
    """The installed files, for this test alone."""
    return Path(shutil.copytree(built.installed, tmp_path / "installed"))


def test_a_package_that_another_distribution_overwrote_is_told(
    built: SimpleNamespace, own_install: Path, tmp_path: Path
) -> None:
    (own_install / "export" / "__init__.py").write_text("raise SystemExit('not ours')")
    done = built.run(own_install, tmp_path, "-m", "icd_mobile", "export", "--help")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1)
    assert "package 'export' was overwritten by another distribution's" in done.stderr
    assert "pip install --force-reinstall --no-deps icd-mobile" in done.stderr


def test_a_package_that_went_with_another_distribution_is_told(
    built: SimpleNamespace, own_install: Path, tmp_path: Path
) -> None:
    shutil.rmtree(own_install / "bench")
    (own_install / "bench.py").write_text("raise SystemExit('not ours')")
    done = built.run(own_install, tmp_path, "-m", "icd_mobile", "bench", "--help")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1)
    assert f"package 'bench' is hidden by {own_install / 'bench.py'}" in done.stderr


def test_the_record_that_tells_has_the_files_that_are_compared(built: SimpleNamespace) -> None:
    (ours,) = distributions(name="icd-mobile", path=[str(built.installed)])
    hashed = {str(file) for file in ours.files or () if file.hash}
    assert {f"{name}/{file}" for name in COMMANDS for file in ("__init__.py", "__main__.py")} <= hashed
