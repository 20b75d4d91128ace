"""Which recipe is best: the same student, images and number of views for each, some seeds, one benchmark at the end.

The benchmark is not looked at in training: a run's last student is judged, not its best. The runs take turns by seed,
so that a comparison that is stopped has all recipes alike; started again, it goes on where it was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from distill.configs.config import RunConfig
from distill.configs.config_files import read_config
from distill.students.checkpoint import load_checkpoint
from distill.training.run_folder import RunFolder, check_same_recipe, open_run
from distill.training.start_run import begin, go_on
from distill.training.validation import Benchmark, open_benchmark
from icd_mobile.errors import InputError
from icd_mobile.files import whole_file

_INTERVAL = (2.5, 97.5)


@dataclass(frozen=True)
class Run:
    """One recipe at one seed. `resampled` is (B,) micro-AP over queries drawn with replacement."""

    recipe: str
    seed: int
    micro_ap: float
    recall_at_p90: float
    num_views: int
    seconds: float | None  # of training; not known where it was stopped and went on
    resampled: list[float]


@dataclass(frozen=True)
class Row:
    """A recipe over its seeds; the intervals are 95 %, over queries and seeds drawn with replacement."""

    recipe: str
    micro_ap: float
    interval: tuple[float, float]
    of_seeds: tuple[float, ...]
    recall_at_p90: float
    num_views: int
    seconds: float | None
    behind_first: tuple[float, float, float] | None  # the first recipe's micro-AP minus this one's, and its interval


def recipe_configs(recipes: Sequence[str], images: str, words: Sequence[str]) -> dict[str, RunConfig]:
    """The configuration of each recipe: KEY=VALUE goes over all of them, RECIPE:KEY=VALUE over one.

    Raises:
        InputError: an unknown recipe or key, or recipes that would see different numbers of views.
    """
    owned = [(_owner(word), word) for word in words]
    strangers = sorted({owner for owner, _ in owned if owner} - set(recipes))
    if strangers:
        raise InputError(f"{', '.join(strangers)} is not compared; give it with --recipe, or take out its words")
    configs = {}
    for recipe in recipes:
        shared = [word for owner, word in owned if not owner]
        own = [word.removeprefix(f"{recipe}:") for owner, word in owned if owner == recipe]
        fixed = [f"data.images={json.dumps(images)}", "validation.dataset=null"]
        configs[recipe] = read_config(recipe, [*shared, *own, *fixed])
    for what in ("student.name", "student.descriptor_dim", "epochs", "batch_size", "data.num_views", "data.size_px"):
        values = {recipe: _value(config, what) for recipe, config in configs.items()}
        if len(set(values.values())) > 1:
            said = ", ".join(f"{recipe} {value}" for recipe, value in values.items())
            raise InputError(f"recipes are compared at the same {what}, got {said}; give {what}=VALUE for all")
    return configs


def _owner(word: str) -> str:
    """RECIPE of RECIPE:KEY=VALUE, "" of KEY=VALUE."""
    owner, colon, _ = word.partition("=")[0].rpartition(":")
    return owner if colon else ""


def _value(config: RunConfig, key: str) -> object:
    value: object = config
    for part in key.split("."):
        value = getattr(value, part)
    return value


def compare(
    configs: dict[str, RunConfig], dataset: str, num_seeds: int, out: Path, on_run: Callable[[Run], None]
) -> list[Row]:
    """Train what is not trained yet, judge it, and compare; `on_run` is called as each run ends.

    Raises:
        InputError: as `distill.training.start_run`; a run in `out` that is of another configuration.
        GateError: a loss that is not finite.
    """
    size_px = next(iter(configs.values())).student.input_size_px
    benchmark = open_benchmark(dataset, size_px)
    runs = []
    for config, recipe, seed in _turns(configs, num_seeds):
        run = _run(config, recipe, seed, RunFolder(out / f"{recipe}-{seed}"), benchmark)
        on_run(run)
        runs.append(run)
    return summarize(runs, list(configs))


def _turns(configs: dict[str, RunConfig], num_seeds: int) -> Iterator[tuple[RunConfig, str, int]]:
    for seed in range(num_seeds):
        for recipe, config in configs.items():
            yield config.model_copy(update={"seed": seed}), recipe, seed


def _run(config: RunConfig, recipe: str, seed: int, folder: RunFolder, benchmark: Benchmark) -> Run:
    if folder.config_path.is_file():
        check_same_recipe(config, open_run(folder.path)[1], str(folder.path))
    judged_path = folder.path / f"judged-{benchmark.data.sha256[:12]}.json"
    if judged_path.is_file():
        return Run(**json.loads(judged_path.read_text(encoding="utf-8")))
    seconds = None
    if folder.state_path.is_file():
        finished = go_on(folder.path, None, [])
    else:
        began_s = time.monotonic()
        finished = begin(config, folder.path)
        seconds = time.monotonic() - began_s
    descriptors = benchmark.describe(load_checkpoint(folder.student_path).model, torch.device("cpu"))
    found = benchmark.judge(descriptors)
    run = Run(
        recipe=recipe,
        seed=seed,
        micro_ap=found.micro_ap,
        recall_at_p90=found.recall_at_p90,
        num_views=finished.trained.num_steps * config.batch_size * config.data.num_views,
        seconds=seconds,
        resampled=benchmark.resampled(descriptors).tolist(),
    )
    with whole_file(judged_path) as temporary:
        temporary.write_text(json.dumps(asdict(run)), encoding="utf-8")
    return run


def summarize(runs: Sequence[Run], recipes: Sequence[str]) -> list[Row]:
    """A row for each recipe, the best first."""
    first = recipes[0]
    samples = {recipe: _samples([run for run in runs if run.recipe == recipe]) for recipe in recipes}
    rows = []
    for recipe in recipes:
        own = [run for run in runs if run.recipe == recipe]
        known = [run.seconds for run in own if run.seconds is not None]
        mean = float(np.mean([run.micro_ap for run in own]))
        of_first = float(np.mean([run.micro_ap for run in runs if run.recipe == first]))
        rows.append(
            Row(
                recipe=recipe,
                micro_ap=mean,
                interval=_interval(samples[recipe]),
                of_seeds=tuple(run.micro_ap for run in own),
                recall_at_p90=float(np.mean([run.recall_at_p90 for run in own])),
                num_views=own[0].num_views,
                seconds=float(np.mean(known)) if known else None,
                behind_first=None
                if recipe == first
                else (of_first - mean, *_interval(samples[first] - samples[recipe])),
            )
        )
    return sorted(rows, key=lambda row: -row.micro_ap)


def _samples(runs: Sequence[Run]) -> NDArray[np.float64]:
    """(B,) the mean over seeds drawn with replacement; draw b has the same queries for every recipe."""
    resampled = np.array([run.resampled for run in runs])
    drawn = np.random.default_rng(0).integers(0, len(runs), (resampled.shape[1], len(runs)))
    means: NDArray[np.float64] = resampled[drawn, np.arange(resampled.shape[1])[:, None]].mean(axis=1)
    return means


def _interval(samples: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.percentile(samples, _INTERVAL)
    return float(low), float(high)
