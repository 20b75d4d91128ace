"""What is installed without the checkout is whole: every file of the five packages, and a command of each."""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
import zipfile
from email import message_from_string
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("icd_mobile", "distill", "export", "bench", "devices")


def _ours() -> list[str]:
    """The files of the five packages that git tracks or would."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *PACKAGES]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [name for name in names if (ROOT / name).is_file()]


def test_the_wheel_holds_every_file_of_the_packages_and_nothing_else(built: SimpleNamespace) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == set(_ours())


def test_the_installed_files_are_those_of_the_checkout(built: SimpleNamespace) -> None:
    assert [name for name in _ours() if (built.installed / name).read_bytes() != (ROOT / name).read_bytes()] == []


def test_the_sdist_holds_what_the_readme_installs_with(built: SimpleNamespace) -> None:
    with tarfile.open(built.sdist) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "constraints.txt", "docs/package.md"} <= names


def test_recipes_and_style_are_read_where_they_are_installed(built: SimpleNamespace, tmp_path: Path) -> None:
    """The other packaged file, the default student, is read by the export below."""
    recipes = sorted(path.stem for path in (ROOT / "distill" / "configs").glob("*.yaml"))
    code = f"""
from importlib.resources import files
from distill.configs.config_files import read_config
print(len([read_config(name, ["data.images=photos"]) for name in {recipes!r}]))
print(len(files("bench.report").joinpath("report.css").read_text(encoding="utf-8")))
"""
    done = built.run(built.installed, tmp_path, "-c", code)
    assert done.returncode == 0, done.stderr
    style = (ROOT / "bench" / "report" / "report.css").read_text(encoding="utf-8")
    assert done.stdout.split() == [str(len(recipes)), str(len(style))]


def test_devices_runs_from_what_is_installed(built: SimpleNamespace, tmp_path: Path) -> None:
    done = built.run(built.installed, tmp_path, "-m", "devices", "--json")
    assert done.returncode == 0, done.stderr
    assert "host" in json.loads(done.stdout)["attached"]


def test_distill_runs_from_what_is_installed(built: SimpleNamespace, tmp_path: Path) -> None:
    done = built.run(built.installed, tmp_path, "-m", "distill", "teachers", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)


def test_export_runs_from_what_is_installed(built: SimpleNamespace, tmp_path: Path) -> None:
    """The default student, and its golden images once more."""
    words = ("--target", "torchscript", "--precision", "fp32", "--out", "bundles")
    done = built.run(built.installed, tmp_path, "-m", "export", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    bundle = "bundles/efficientnet_lite0-torchscript-fp32"
    done = built.run(built.installed, tmp_path, "-m", "export", "--verify", bundle)
    assert "6 golden images give their descriptors" in done.stdout, done.stderr


def test_bench_runs_from_what_is_installed(built: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "truth.csv").write_text("query_id,reference_id\nq0,r0\n")
    (tmp_path / "found.csv").write_text("query_id,reference_id,score\nq0,r0,0.9\n")
    words = ("--ground-truth", "truth.csv", "--predictions", "found.csv", "--json")
    done = built.run(built.installed, tmp_path, "-m", "bench", "evaluate", *words)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["micro_ap"] == 1.0  # the one query's one answer is right


def test_the_description_leads_nowhere_that_an_index_cannot_go(built: SimpleNamespace) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = message_from_string(wheel.read(name).decode())
    description = metadata.get_payload()
    assert isinstance(description, str)
    links = re.findall(r"\]\(([^)]*)\)|(?:href|src)=[\"']([^\"']*)", description)
    assert [link for pair in links for link in pair if link and not link.startswith("https://")] == []
    assert "icd-mobile[train]" in description


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_is_imported_from_what_is_installed(package: str, built: SimpleNamespace, tmp_path: Path) -> None:
    done = built.run(built.installed, tmp_path, "-c", f"import {package}; print({package}.__file__)")
    assert Path(done.stdout.strip()) == built.installed / package / "__init__.py"
