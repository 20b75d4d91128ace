"""Recipes are compared alike: the same views, the same queries drawn, and what was stopped goes on."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from distill.commands.compare import comparison_text
from distill.comparison.compare import Run, compare, recipe_configs, summarize
from icd_mobile.datasets.sample_pictures import procedural_picture
from icd_mobile.errors import InputError

WORDS = (
    "student={name: resnet18, descriptor_dim: 64, input_size_px: 64, trunk: random}",
    "teacher=null",
    "losses=[{name: infonce}]",
    "data.augmentation=strong_blur",
    "data.size_px=64",
    "data.num_views=2",
    "epochs=1",
    "warmup_epochs=0",
    "batch_size=4",
    "precision=fp32",
    "batchnorm=batch",
)


def _run(recipe: str, seed: int, micro_ap: float, resampled: list[float]) -> Run:
    return Run(recipe, seed, micro_ap, 0.5, 100, 60.0 * (seed + 1), resampled)


def test_a_summary_worked_by_hand() -> None:
    """One seed each, so the draws of seeds change nothing: the difference of every draw is 0.1."""
    rows = summarize([_run("a", 0, 0.5, [0.4, 0.5, 0.6]), _run("b", 0, 0.6, [0.5, 0.6, 0.7])], ["a", "b"])
    assert [row.recipe for row in rows] == ["b", "a"], "the best first"
    assert rows[1].behind_first is None
    assert rows[0].behind_first == pytest.approx((-0.1, -0.1, -0.1))
    assert rows[1].interval == pytest.approx((0.405, 0.595))  # percentiles 2.5 and 97.5 of three, interpolated


def test_seeds_are_averaged() -> None:
    rows = summarize([_run("a", 0, 0.4, [0.4] * 50), _run("a", 1, 0.6, [0.6] * 50)], ["a"])
    assert rows[0].micro_ap == pytest.approx(0.5)
    assert rows[0].of_seeds == (0.4, 0.6)
    assert rows[0].seconds == 90.0
    assert rows[0].interval == pytest.approx((0.4, 0.6)), "a seed may be drawn twice"


def test_the_table_says_each_figure() -> None:
    text = comparison_text(summarize([_run("a", 0, 0.5, [0.5, 0.5]), _run("b", 0, 0.25, [0.25, 0.25])], ["a", "b"]))
    assert text.splitlines()[2:] == [
        "| a | 0.500 (0.500..0.500) | 0.500 | 0.500 | 100 | 1.0 min |  |",
        "| b | 0.250 (0.250..0.250) | 0.250 | 0.500 | 100 | 1.0 min | +0.250 (+0.250..+0.250) |",
    ]


def test_words_go_over_all_recipes_or_over_one() -> None:
    configs = recipe_configs(["sscd", "default"], "photos", [*WORDS, "optimizer.lr=0.5", "sscd:optimizer.lr=0.25"])
    assert configs["sscd"].optimizer.lr == 0.25
    assert configs["default"].optimizer.lr == 0.5
    assert {config.data.images for config in configs.values()} == {"photos"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((*WORDS, "sscd:batch_size=8"), "at the same batch_size, got sscd 8, default 4"),
        ((*WORDS, "rdcd:batch_size=8"), "rdcd is not compared"),
        ((*WORDS, "sscd:batchsize=8"), "did you mean 'batch_size'"),
    ],
)
def test_what_cannot_be_compared_is_refused(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        recipe_configs(["sscd", "default"], "photos", words)


def test_recipes_are_trained_judged_and_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    photos, dataset = tmp_path / "photos", tmp_path / "set"
    for folder in (photos, dataset / "queries", dataset / "references"):
        folder.mkdir(parents=True)
    for seed in range(8):
        procedural_picture(seed, (96, 80)).save(photos / f"{seed}.png")
        procedural_picture(100 + seed, (96, 80)).save(dataset / "references" / f"r{seed}.png")
        procedural_picture(100 + seed, (64, 64)).save(dataset / "queries" / f"q{seed}.png")
    with (dataset / "ground_truth.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("query_id", "reference_id"), *((f"q{seed}", f"r{seed}") for seed in range(8))])
    configs = recipe_configs(["sscd", "default"], "photos", [*WORDS, "sscd:losses.0.temperature=0.1"])
    runs: list[Run] = []
    rows = compare(configs, str(dataset), 1, tmp_path / "out", runs.append)
    assert [(run.recipe, run.seed, run.num_views) for run in runs] == [("sscd", 0, 16), ("default", 0, 16)]
    assert all(0 < row.micro_ap <= 1 and row.seconds is not None for row in rows)
    students = {path: path.stat().st_mtime_ns for path in tmp_path.glob("out/*/student.safetensors")}
    assert len(students) == 2
    assert compare(configs, str(dataset), 1, tmp_path / "out", runs.append) == rows
    assert {path: path.stat().st_mtime_ns for path in students} == students
    changed = recipe_configs(["sscd", "default"], "photos", [*WORDS, "sscd:losses.0.temperature=0.2"])
    with pytest.raises(InputError, match=r"is of another recipe: losses\.0\.temperature differ"):
        compare(changed, str(dataset), 1, tmp_path / "out", runs.append)
