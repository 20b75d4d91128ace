"""The command line: what it prints, where, and its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.__main__ import app
from bench.commands.run import _exit_code, _print_result
from bench.records.record import Record
from bench.records.record_files import write_record
from bench.run.run import RunResult
from icd_mobile.retrieval.result import BaselineInfo

NewRecord = Callable[..., Record]
REPOSITORY = Path(__file__).parents[3]


def command(*words: object, folder: Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "bench", *(str(word) for word in words)]
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, env={"PYTHONPATH": str(REPOSITORY)})


def test_run_then_report_with_json_prints_one_object_each(bundle_dir: Path, dataset_dir: Path, tmp_path: Path) -> None:
    words = ("--bundle", bundle_dir, "--dataset", dataset_dir, "--preset", "smoke", "--baseline", "none", "--json")
    ran = command("run", *words, "--descriptors", "kept", folder=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert len(list((tmp_path / "kept").glob("host-*/descriptors.npy"))) == 2  # the dataset's, and their edits'
    found = json.loads(ran.stdout)
    assert [row["name"] for row in found["rows"]] == ["tiny-onnx-fp32"]
    assert found["rows"][0]["micro_ap"] == 1.0
    assert (tmp_path / found["records"][0]).is_file()
    assert "[1/1] onnx fp32" in ran.stderr

    reported = command("report", "--json", folder=tmp_path)
    assert reported.returncode == 0, reported.stderr
    report = json.loads(reported.stdout)["reports"]["host"]
    assert all((tmp_path / report[form]).is_file() for form in ("html", "markdown", "csv"))


def test_help_gives_examples(tmp_path: Path) -> None:
    assert "Example: python -m bench run" in command("run", "--help", folder=tmp_path).stdout
    assert "Example: python -m bench evaluate" in command("evaluate", "--help", folder=tmp_path).stdout
    assert "Example: python -m bench report" in command("report", "--help", folder=tmp_path).stdout


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("run", "--bundle", "absent"), 2, "no bundle in absent"),
        (("run", "--bundle", "BUNDLE", "--device", "hosst"), 2, "unknown device 'hosst'"),
        (("run", "--bundle", "BUNDLE", "--preset", "quik"), 2, "did you mean 'quick'"),
        (("run", "--bundle", "BUNDLE", "--dataset", "absent", "--baseline", "none"), 2, "absent has no references"),
        (("run", "--bundle", "BUNDLE", "--dataset", "disc", "--baseline", "none"), 3, "python -m bench prepare disc"),
        (("run", "--bundle", "BUNDLE", "--baseline", "defualt"), 2, "unknown student 'defualt'"),
        (("report", "--records", "absent"), 2, "no record in absent"),
    ],
)
def test_mistake_is_one_line_and_its_exit_code(
    words: tuple[str, ...], code: int, message: str, bundle_dir: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, [str(bundle_dir) if word == "BUNDLE" else word for word in words])
    errors = done.stderr.splitlines()  # an empty line would be one too many
    assert (done.exit_code, len(errors)) == (code, 1), done.output
    assert message in errors[0]
    assert done.stdout == ""


def test_failed_artifact_exits_one_after_the_others(
    bundle_dir: Path,
    new_bundle: Callable[..., Path],
    dataset_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(
        sys.modules["bench.records.latency"].PRESETS,
        "smoke",
        sys.modules["bench.records.latency"].Preset("smoke", 5, 0.0, 30.0),
    )
    broken = new_bundle("broken", model=b"no graph")
    words = ["--dataset", str(dataset_dir), "--preset", "smoke", "--baseline", "none"]
    done = CliRunner().invoke(app, ["run", "--bundle", str(broken), "--bundle", str(bundle_dir), *words])
    assert done.exit_code == 1
    assert "failed" in done.stdout
    assert "not measured, score normalisation: the dataset has no training split" in done.stdout
    assert "1.00-1.00" in done.stdout  # the interval below the micro-AP of the other
    assert (
        f"--dataset {dataset_dir} --preset full --threads 1 --baseline none --descriptors"
        in done.stdout.splitlines()[-1]
    )
    assert len(list((tmp_path / "artifacts" / "records").glob("*.record.json"))) == 2


def test_table_fits_eighty_characters(
    new_record: NewRecord, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With every column that a run can have: score normalisation, and the teacher's row."""
    monkeypatch.setenv("COLUMNS", "80")
    teacher = new_record(info={"target": "teacher"})
    accuracy = teacher.accuracy
    assert accuracy is not None
    of_teacher = BaselineInfo(name="t", weights_sha256="0" * 64, micro_ap=0.9, normalized_micro_ap=0.9)
    student = new_record().model_copy(update={"accuracy": accuracy.model_copy(update={"teacher": of_teacher})})
    records = [teacher.model_copy(update={"accuracy": accuracy.model_copy(update={"baseline": None})}), student]
    _print_result(RunResult([(record, Path()) for record in records], None, []))
    shown = capsys.readouterr().out
    assert {"SN", "retention", "teacher"} <= set(shown.split())
    assert max(map(len, shown.splitlines())) <= 80


def test_no_figure_is_cut_off_where_the_table_is_wider(
    new_record: NewRecord, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    _print_result(RunResult([(new_record(micro_ap=0.6), Path())], None, []))
    table = capsys.readouterr().out.partition("not measured, the teacher")[0]
    assert {"retention", "0.600", "0.55-0.65", "0.640", "0.60-0.68"} <= set(table.split())


def test_artifact_that_ignores_colour_exits_one(new_record: NewRecord) -> None:
    good = new_record()
    assert good.stability is not None
    blind = good.model_copy(update={"stability": good.stability.model_copy(update={"canary_cosines": (1.0, 1.0, 1.0)})})
    assert [_exit_code([good]), _exit_code([good, blind])] == [0, 1]


def test_only_what_has_no_runtime_exits_three(
    new_bundle: Callable[..., Path], dataset_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    palm = new_bundle("palm", target="palmos")
    done = CliRunner().invoke(app, ["run", "--bundle", str(palm), "--dataset", str(dataset_dir), "--baseline", "none"])
    assert done.exit_code == 3
    assert "no runtime for 'palmos' here" in done.stdout


def test_damaged_record_stops_the_report_by_name(new_record: NewRecord, tmp_path: Path) -> None:
    path = write_record(new_record(), tmp_path)
    path.write_text(path.read_text()[:100])
    done = CliRunner().invoke(app, ["report", "--records", str(tmp_path), "--out", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert path.name in done.stderr


def test_terminated_run_leaves_no_worker_and_no_folder(bundle_dir: Path, dataset_dir: Path, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    words = ["--bundle", str(bundle_dir), "--dataset", str(dataset_dir), "--baseline", "none"]
    process = subprocess.Popen(
        [sys.executable, "-m", "bench", "run", *words],
        cwd=tmp_path,
        env={"PYTHONPATH": str(REPOSITORY), "TMPDIR": str(temporary)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: any(temporary.glob("icd-mobile-host-*/result.json")))  # the quick latency pass takes 10 s
        workers = workers_in(temporary)
        process.terminate()
        assert process.wait(timeout=20) == 128 + 15
    finally:
        process.kill()
        process.wait()
    assert list(temporary.glob("[!.]*")) == []  # a runtime keeps a hidden file of its own
    wait_until(lambda: not any(Path(f"/proc/{worker}/cwd").exists() for worker in workers))


def workers_in(folder: Path) -> list[str]:
    """Processes that work inside a folder; none where there is no /proc."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):
            if link.readlink().is_relative_to(folder):
                found.append(link.parent.name)
    return found


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("it did not happen within 30 s")
