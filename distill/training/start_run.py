"""Begin a run, or go on with one that was stopped: everything is checked before the first step."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from distill.configs.config import RunConfig
from distill.configs.config_files import read_config, validated, with_overrides
from distill.teacher_cache.photographs import is_finished, make_photograph_cache
from distill.training.launch import Processes, check_hardware, processes
from distill.training.run_folder import RunFolder, check_same_recipe, new_run, open_run
from distill.training.run_keeper import Judge
from distill.training.run_parts import Parts, build_parts
from distill.training.train import Trained, train
from distill.training.training_state import State, read_state
from distill.training.validation import open_validation
from icd_mobile.errors import InputError


@dataclass(frozen=True)
class Finished:
    """A run that came to its end."""

    config: RunConfig
    folder: RunFolder
    trained: Trained
    is_first_process: bool


def begin(config: RunConfig, out: Path | None) -> Finished:
    """Make the run's folder and train.

    Raises:
        InputError: what `build_parts` refuses, a folder that is there already, a full disk.
        GateError: the loss is not finite.
    """
    ours = processes()
    check_hardware(config, ours)
    folder = new_run(config, out)
    if ours.rank == 0 and folder.path.exists():
        raise InputError(f"{folder.path} is there already; give another --out, or --resume {folder.path}")
    config = _with_cache(config, ours)
    parts = build_parts(config, folder.path / "skipped.csv" if ours.rank == 0 else None)
    judge = _judge(config, ours)
    return Finished(config, folder, train(config, parts, folder, ours, judge), ours.rank == 0)


def go_on(run: Path, name: str | None, overrides: Sequence[str]) -> Finished:
    """Go on from the last training state of a run; a run that is at its end is left as it is.

    Raises:
        InputError: no such run, a damaged state, one of another recipe or of other images, and as `begin`.
        GateError: the loss is not finite.
    """
    ours = processes()
    folder, stored = open_run(run)
    config = with_overrides(stored, overrides) if name is None else read_config(name, overrides)
    if config.data.images is None:
        config = with_overrides(config, [f"data.images={stored.data.images}"])
    check_same_recipe(config, stored, str(run))
    check_hardware(config, ours)
    state = read_state(folder.state_path)
    parts = build_parts(config, is_new=False)
    _check_state(state, config, parts, folder)
    judge = _judge(config, ours)
    return Finished(config, folder, train(config, parts, folder, ours, judge, state), ours.rank == 0)


def _with_cache(config: RunConfig, ours: Processes) -> RunConfig:
    """With the cache that targets of photographs need, made where it is not there yet."""
    teacher, images = config.teacher, config.data.images
    if teacher is None or teacher.target != "photograph" or images is None:
        return config
    if teacher.cache is not None and is_finished(Path(teacher.cache)):
        return config
    if ours.total > 1:
        raise InputError(
            "several processes do not make a teacher cache; make it first: python -m distill cache-teacher "
            f"--images {images} --teacher {teacher.name} --augmentation none --views 1 --size 64 --out cache, and give "
            "teacher.cache=cache"
        )
    folder = None if teacher.cache is None else Path(teacher.cache)
    made = make_photograph_cache(Path(images), teacher.name, teacher.input_size_px, folder)
    return with_overrides(config, [f"teacher.cache={json.dumps(str(made))}"])


def _judge(config: RunConfig, ours: Processes) -> Judge | None:
    """The first process judges."""
    if config.validation.dataset is None or ours.rank != 0:
        return None
    return open_validation(config.validation.dataset, config.student.input_size_px)


def _check_state(state: State, config: RunConfig, parts: Parts, folder: RunFolder) -> None:
    facts = state["facts"]
    assert isinstance(facts, dict)
    trained_by = validated(facts["config"], f"the configuration in {folder.state_path}")
    check_same_recipe(config, trained_by, str(folder.state_path))
    if facts["images_sha256"] != parts.images.sha256:
        raise InputError(
            f"{folder.path} was trained on other images than {parts.images.source_name} holds now; give the same ones "
            f"with --images, or begin a new run"
        )
