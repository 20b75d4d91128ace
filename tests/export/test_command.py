"""What the command line says and does for each kind of wrong use."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from export import command
from export.command import plan_jobs
from export.targets.table import TARGETS
from icd_mobile.datasets.sample_pictures import procedural_picture
from icd_mobile.errors import InputError


def test_all_targets_in_all_precisions_are_three_jobs_each() -> None:
    assert plan_jobs(["all"], ["all"]) == [(target, each) for target in TARGETS for each in ("fp32", "fp16", "int8")]


def test_int16_activations_are_made_where_they_are_asked_for_and_the_target_has_them() -> None:
    assert plan_jobs(["onnx", "tflite"], ["w8a16", "int8"]) == [
        ("onnx", "int8"),
        ("tflite", "int8"),
        ("tflite", "w8a16"),
    ]
    with pytest.raises(InputError, match="w8a16 is for tflite alone; add --target tflite"):
        plan_jobs(["onnx"], ["w8a16"])


def test_without_a_precision_each_target_gets_its_recommended_one() -> None:
    assert plan_jobs(["coreml"], []) == [("coreml", TARGETS["coreml"].recommended_precision)]


def test_a_job_asked_for_twice_is_done_once() -> None:
    assert plan_jobs(["onnx", "onnx", "all"], ["fp32"]).count(("onnx", "fp32")) == 1


@pytest.mark.parametrize(
    ("targets", "precisions", "suggestion"),
    [(["tflight"], [], "did you mean 'tflite'?"), (["onnx"], ["fp31"], "did you mean 'fp32'?"), ([], [], "--target")],
)
def test_an_unknown_name_is_answered_with_the_closest(
    targets: list[str], precisions: list[str], suggestion: str
) -> None:
    with pytest.raises(InputError, match=r"known are|nothing to export") as raised:
        plan_jobs(targets, precisions)
    assert suggestion in str(raised.value)


def one_line(done: subprocess.CompletedProcess[str], exit_code: int) -> str:
    """The single line on standard error of a run that failed as it should."""
    assert done.returncode == exit_code, done.stderr
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("absent.safetensors", None, "no checkpoint at"),
        ("cut.safetensors", b"\x40\x00\x00\x00\x00\x00\x00\x00{", "not a readable safetensors file"),
        ("foreign.safetensors", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      ", "no student card"),
        ("code.pth", b"cos\nsystem\n(S'false'\ntR.", "not a readable safetensors file"),
    ],
)
def test_a_checkpoint_that_is_none_is_one_line_and_exit_code_2(
    run_export, tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = run_export("--target", "onnx", "--student", tmp_path / name, "--out", tmp_path / "out")
    assert said in one_line(done, 2)


def test_an_unknown_student_is_answered_with_the_closest(run_export, tmp_path: Path) -> None:
    done = run_export("--target", "onnx", "--student", "resnet19", "--out", tmp_path)
    assert "did you mean 'resnet18'?" in one_line(done, 2)


def test_an_existing_bundle_is_kept_unless_overwriting_is_asked_for(run_export, bundle: Path, tiny_checkpoint) -> None:
    before = (bundle / "manifest.json").read_bytes()
    arguments = ("--target", "torchscript", "--precision", "fp32", "--student", tiny_checkpoint, "--out", bundle.parent)
    assert "pass --overwrite" in one_line(run_export(*arguments), 2)
    assert (bundle / "manifest.json").read_bytes() == before
    done = run_export(*arguments, "--overwrite", "--json")
    (outcome,) = json.loads(done.stdout)["outcomes"]
    assert (done.returncode, outcome["state"]) == (0, "ok")
    assert sorted(path.name for path in bundle.parent.iterdir()) == [bundle.name]


def test_a_folder_that_is_no_bundle_is_never_overwritten(run_export, tmp_path: Path, tiny_checkpoint: Path) -> None:
    (tmp_path / "efficientnet_lite0-onnx-fp32").mkdir()
    (tmp_path / "efficientnet_lite0-onnx-fp32" / "thesis.txt").write_text("the only copy")
    done = run_export(
        "--target", "onnx", "--precision", "fp32", "--student", tiny_checkpoint, "--out", tmp_path, "--overwrite"
    )
    assert "is no bundle, so it is not replaced" in one_line(done, 2)
    assert (tmp_path / "efficientnet_lite0-onnx-fp32" / "thesis.txt").read_text() == "the only copy"


def test_an_output_folder_under_a_file_is_refused(run_export, tmp_path: Path, tiny_checkpoint: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run_export("--target", "onnx", "--student", tiny_checkpoint, "--out", tmp_path / "file" / "out")
    assert "cannot be made" in one_line(done, 2)


@pytest.mark.parametrize("kind", ["absent", "empty", "corrupt"])
def test_a_calibration_folder_without_a_readable_image_is_refused(
    run_export, tmp_path: Path, tiny_checkpoint: Path, kind: str
) -> None:
    folder = tmp_path / "photos"
    if kind != "absent":
        folder.mkdir()
    if kind == "corrupt":
        (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    done = run_export(
        "--target", "onnx", "--precision", "int8", "--student", tiny_checkpoint, "--calibration", folder,
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert "--calibration" in one_line(done, 2)
    assert not list((tmp_path / "out").glob("*"))


def test_a_corrupt_calibration_image_is_skipped_counted_and_named(
    run_export, tmp_path: Path, tiny_checkpoint: Path
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(3):
        Image.effect_mandelbrot((80, 60), (-2 + index / 9, -1, 1, 1), 50).convert("RGB").save(folder / f"{index}.png")
    (folder / "broken.png").write_bytes(b"\x89PNG cut short")
    done = run_export(
        "--target", "onnx", "--precision", "int8", "--student", tiny_checkpoint, "--calibration", folder,
        "--out", tmp_path / "out", "--json",
    )  # fmt: skip
    assert "1 unreadable image skipped: broken.png" in done.stderr
    manifest = json.loads((tmp_path / "out" / "efficientnet_lite0-onnx-int8" / "manifest.json").read_text())
    calibration = manifest["quantization"]["calibration"]
    assert (calibration["num_images"], calibration["skipped"]) == (3, ["broken.png"])


def test_a_calibration_set_that_shares_a_photograph_with_a_benchmark_is_refused_with_the_pair(
    run_export, tmp_path: Path, tiny_checkpoint: Path
) -> None:
    folder, benchmark = tmp_path / "photos", tmp_path / "benchmark"
    folder.mkdir()
    benchmark.mkdir()
    for seed in range(3):
        procedural_picture(seed, (96, 72)).save(folder / f"{seed}.png")
    procedural_picture(0, (96, 72)).save(benchmark / "query.jpg", quality=60)
    done = run_export(
        "--target", "onnx", "--precision", "int8", "--student", tiny_checkpoint, "--calibration", folder,
        "--disjoint-from", benchmark, "--out", tmp_path / "out",
    )  # fmt: skip
    assert "1 image is in both: 0.png = query.jpg (looks the same)" in one_line(done, 2)
    assert not list((tmp_path / "out").glob("*"))


def _start_slow_export(out: Path, checkpoint: Path) -> subprocess.Popen[str]:
    """An export that is surely still busy when its staging folder appears."""
    command = [sys.executable, "-m", "export", "--target", "tflite", "--precision", "fp32", "--overwrite"]
    started = subprocess.Popen(
        [*command, "--student", str(checkpoint), "--out", str(out)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not list(out.glob(".*.icd-mobile-staging")):
        assert started.poll() is None, started.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return started


def test_calibration_without_an_int8_job_is_wrong_use(run_export, tmp_path: Path, tiny_checkpoint: Path) -> None:
    done = run_export(
        "--target", "onnx", "--precision", "fp32", "--student", tiny_checkpoint, "--calibration", tmp_path
    )
    assert "--calibration is for int8" in one_line(done, 2)
    with pytest.raises(InputError, match="--disjoint-from is for int8"):
        command.run_export(["onnx"], str(tiny_checkpoint), ["fp32"], None, tmp_path, False, False, [tmp_path])


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_stopping_in_mid_export_leaves_the_old_bundle_and_the_next_run_cleans_up(
    run_export, tmp_path: Path, bundle: Path, tiny_checkpoint: Path, stop: signal.Signals
) -> None:
    out = tmp_path / "out"
    old = out / "efficientnet_lite0-tflite-fp32"
    out.mkdir()
    bundle.rename(old)
    before = {path.name: path.read_bytes() for path in old.iterdir() if path.is_file()}
    started = _start_slow_export(out, tiny_checkpoint)
    os.kill(started.pid, stop)
    _, stderr = started.communicate(timeout=120)
    if stop == signal.SIGINT:
        assert started.returncode == 130
        assert stderr.strip().splitlines()[-1].startswith("error: interrupted")
        assert not list(out.glob(".*.icd-mobile-staging"))
    assert {path.name: path.read_bytes() for path in old.iterdir() if path.is_file()} == before
    done = run_export("--target", "torchscript", "--precision", "fp32", "--student", tiny_checkpoint, "--out", out)
    assert done.returncode == 0, done.stderr
    assert not list(out.glob(".*.icd-mobile-staging"))


@pytest.mark.parametrize("target", TARGETS)
def test_a_full_disk_is_one_line_and_leaves_nothing(
    run_export, tmp_path: Path, tiny_checkpoint: Path, target: str
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(small)], check=False).returncode
    if mounted != 0:
        pytest.skip("a small file system cannot be mounted here (needs root)")
    try:
        done = run_export("--target", target, "--precision", "fp32", "--student", tiny_checkpoint, "--out", small)
        assert "free some" in one_line(done, 2)
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--precision", "fp32", "--max-drop", "0.005"), "--max-drop is for int8"),
        (("--precision", "int8", "--max-drop", "nan"), "--max-drop needs"),
        (("--precision", "int8", "--validation", "mine"), "--validation is for --max-drop"),
        (("--precision", "int8", "--max-drop", "0.005", "--validation", "nowhere"), "there is no nowhere"),
    ],
)
def test_a_budget_that_cannot_be_used_is_one_line(
    run_export, tmp_path: Path, tiny_checkpoint: Path, arguments: tuple[str, ...], said: str
) -> None:
    done = run_export("--target", "onnx", "--student", tiny_checkpoint, "--out", tmp_path / "out", *arguments)
    assert said in one_line(done, 2)
