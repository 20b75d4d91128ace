"""`metrics.csv` holds each step once, however often a run was stopped."""

from __future__ import annotations

from pathlib import Path

import pytest

from distill.training.metrics_log import MetricsLog, read_metrics
from icd_mobile.errors import InputError

COLUMNS = ("step", "loss", "micro_ap")


def _log(folder: Path, resume_step: int) -> MetricsLog:
    return MetricsLog(folder / "metrics.csv", folder / "tensorboard", COLUMNS, resume_step)


def test_rows_after_the_step_of_a_resume_are_written_anew(tmp_path: Path) -> None:
    first = _log(tmp_path, 0)
    for step in (1, 2, 3):
        first.write({"step": step, "loss": 1 / step})
    first.close()
    second = _log(tmp_path, 2)
    second.write({"step": 3, "loss": 0.25, "micro_ap": 0.5})
    second.close()
    assert read_metrics(tmp_path / "metrics.csv") == [
        {"step": 1, "loss": 1.0},
        {"step": 2, "loss": 0.5},
        {"step": 3, "loss": 0.25, "micro_ap": 0.5},
    ]
    assert list((tmp_path / "tensorboard").iterdir()), "TensorBoard has its own copy"


def test_a_row_that_a_kill_cut_short_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("step,loss,micro_ap\n1,0.5,\n2,0.")
    assert read_metrics(path) == [{"step": 1, "loss": 0.5}]


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no .*metrics\.csv"):
        read_metrics(tmp_path / "metrics.csv")
    (tmp_path / "metrics.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="no column 'step'"):
        read_metrics(tmp_path / "metrics.csv")
