"""A run's folder: `artifacts/runs/NAME-TIME/`.

config.yaml            the configuration as it ran, defaults written out
metrics.csv            a row for every logged step and every validation
tensorboard/           the same for TensorBoard
checkpoints/last.ckpt  what `--resume` goes on from
student.safetensors    the student: the best by validation, the last where there is no validation
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from distill.configs.config import RunConfig
from distill.configs.config_files import config_text, differences, read_config
from icd_mobile.errors import InputError
from icd_mobile.files import whole_file

RUNS_DIR = Path("artifacts/runs")


@dataclass(frozen=True)
class RunFolder:
    """Where everything of a run stands."""

    path: Path

    @property
    def config_path(self) -> Path:
        return self.path / "config.yaml"

    @property
    def metrics_path(self) -> Path:
        return self.path / "metrics.csv"

    @property
    def tensorboard_dir(self) -> Path:
        return self.path / "tensorboard"

    @property
    def state_path(self) -> Path:
        return self.path / "checkpoints" / "last.ckpt"

    @property
    def student_path(self) -> Path:
        return self.path / "student.safetensors"


def new_run(config: RunConfig, out: Path | None) -> RunFolder:
    """The folder for a run that begins; made when the first file is written."""
    return RunFolder(out or RUNS_DIR / f"{config.name}-{time.strftime('%Y%m%d-%H%M%S')}")


def write_config(folder: RunFolder, config: RunConfig) -> None:
    """Put the configuration there."""
    with whole_file(folder.config_path) as temporary:
        temporary.write_text(config_text(config), encoding="utf-8")


def open_run(path: Path) -> tuple[RunFolder, RunConfig]:
    """A run that is there, and its configuration.

    Raises:
        InputError: not a run's folder.
    """
    folder = RunFolder(path)
    if not folder.config_path.is_file():
        raise InputError(f"{path} is no run: it has no config.yaml; give a folder of {RUNS_DIR}")
    return folder, read_config(str(folder.config_path))


def check_same_recipe(wanted: RunConfig, stored: RunConfig, where: str) -> None:
    """Going on with another recipe would make a student of neither.

    Raises:
        InputError: a key that moves weights differs.
    """
    keys = differences(wanted, stored)
    if keys:
        named = ", ".join(keys[:5]) + (f" and {len(keys) - 5} more" if len(keys) > 5 else "")
        raise InputError(f"{where} is of another recipe: {named} differ; leave them as they were, or begin a new run")
