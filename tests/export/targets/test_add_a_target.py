"""docs/add-a-target.md is followed: its code goes into a copy of the project, whose commands export and bench it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "add-a-target.md").read_text(encoding="utf-8")
PYTHON_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAME = "torch_export"


def _insert_after(path: Path, line_start: str, block: str) -> None:
    text = path.read_text(encoding="utf-8")
    (line,) = (line for line in text.splitlines(keepends=True) if line.startswith(line_start))
    path.write_text(text.replace(line, line + block), encoding="utf-8")


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with what the page says, and nothing else, added to it."""
    project = tmp_path_factory.mktemp("add-a-target")
    for name in ("icd_mobile", "distill", "export", "bench", "devices", "tests"):
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__", Path(__file__).name))
    shutil.copy2(ROOT / "pyproject.toml", project)
    row, function, runtime_row, runtime, reader_row, reader = PYTHON_BLOCK.findall(PAGE)
    _insert_after(project / "export/targets/table.py", "TARGETS:", row)
    (project / f"export/targets/{NAME}.py").write_text(function, encoding="utf-8")
    _insert_after(project / "export/runtimes/__init__.py", "RUNTIMES:", runtime_row)
    (project / f"export/runtimes/{NAME}.py").write_text(runtime, encoding="utf-8")
    contract = project / "tests/export/targets/test_targets.py"
    _insert_after(contract, "_READERS =", reader_row)
    contract.write_text(contract.read_text().replace("_READERS =", f"{reader}\n\n_READERS ="), encoding="utf-8")
    return project


def _run(project: Path, *arguments: object) -> str:
    """`python -m ARGUMENTS` in the copy, which must do."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    environment = kept | {"PYTHONPATH": str(project), "COLUMNS": "200"}
    command = [sys.executable, "-m", *map(str, arguments)]
    done = subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def test_a_target_by_the_page_is_exported_verified_and_benched(
    followed: Path, tiny_checkpoint: Path, dataset_dir: Path
) -> None:
    student = ("--student", tiny_checkpoint)
    made = json.loads(
        _run(followed, "export", "--target", NAME, "--precision", "all", *student, "--out", "made", "--json")
    )
    states = {one["precision"]: one["state"] for one in made["outcomes"]}
    assert states == dict.fromkeys(("fp32", "fp16", "int8"), "ok"), made
    assert all(one["parity"]["evidence"] == "measured" for one in made["outcomes"])
    bundle = followed / "made" / f"efficientnet_lite0-{NAME}-fp32"
    _run(followed, "export", "--verify", bundle)
    assert "Open `model.pt2` with your torch_export runtime" in (bundle / "README.md").read_text(encoding="utf-8")
    arguments = ("--bundle", bundle, "--dataset", dataset_dir, "--preset", "smoke", "--baseline", "none")
    _run(followed, "bench", "run", *arguments, "--teacher", "none", "--out", "records", "--json")
    (record,) = (json.loads(path.read_text()) for path in (followed / "records").rglob("*.record.json"))
    assert record["artifact"]["target"] == NAME
    assert record["runtime"]["package"] == "torch"
    assert record["accuracy"]["micro_ap"] == 1.0  # four brightened copies among six unlike pictures


@pytest.mark.parametrize("command", [("export",), ("bench", "calibration-spread")])
def test_its_name_stands_in_the_help(followed: Path, command: tuple[str, ...]) -> None:
    assert NAME in _run(followed, *command, "--help")


def test_the_pages_command_tries_the_new_target_alone(followed: Path) -> None:
    (line,) = re.findall(r"^\.venv/bin/python -m (pytest .*)$", PAGE, re.MULTILINE)
    selected = _run(
        followed, *(word.strip('"') for word in re.split(r' (?=(?:[^"]*"[^"]*")*[^"]*$)', line)), "--co", "-q"
    )
    assert f"[{NAME}-int8]" in selected
    assert not re.search(r"\[(onnx|torchscript|coreml|tflite|executorch)", selected)
    _run(followed, "pytest", "tests/export/targets/test_targets.py", "-m", "not slow", "-k", f"{NAME} and fp32")
