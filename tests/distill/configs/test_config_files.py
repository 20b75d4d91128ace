"""Configurations are refused where they are wrong, by the name of what was meant."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill.configs.config import LossConfig, RunConfig
from distill.configs.config_files import (
    config_text,
    differences,
    read_config,
    recipe_command,
    shipped_configs,
    validated,
)
from icd_mobile.errors import InputError

MINIMAL = "name: mine\nlosses:\n- name: infonce\n  temperature: 0.05\n"


@pytest.fixture
def mine(tmp_path: Path) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(MINIMAL)
    return str(path)


@pytest.mark.parametrize("name", ["default", "sscd_student", "kd_icd", "rdcd", "sscd"])
def test_every_shipped_recipe_is_whole(name: str) -> None:
    """It reads, and its head says its command, its hardware, and what it reached."""
    config = read_config(name)
    assert config.name == name
    comments = [line for line in shipped_configs()[name].read_text().splitlines() if line.startswith("#")]
    head = "\n".join(comments)
    assert f"-m distill train --config {name} " in head
    assert "hardware:" in head.lower()
    assert "reached:" in head.lower()


@pytest.mark.parametrize(
    ("name", "teacher_dim"),
    [("default", None), ("sscd_student", 512), ("kd_icd", 512), ("rdcd", 512), ("sscd", None)],
)
def test_the_losses_of_a_recipe_fit_its_student_and_teacher(name: str, teacher_dim: int | None) -> None:
    """The teacher's dimensions are the catalogue's; its weights are not needed to know that they fit."""
    from distill.teachers.catalogue import named_teachers
    from distill.training.run_parts import build_losses, build_model

    config = read_config(name, ["student.trunk=random", "data.size_px=64", "student.input_size_px=64"])
    if config.teacher is not None:
        assert named_teachers()[config.teacher.name].descriptor_dim == teacher_dim
    model, _ = build_model(config)
    assert set(build_losses(config, model, teacher_dim).weights) == {loss.name for loss in config.losses}
    if teacher_dim is not None:
        with pytest.raises(InputError, match=f"{teacher_dim} and 384 dimensions"):
            build_losses(config, model, 384)


def test_the_command_of_a_card_names_what_was_changed_and_no_folder() -> None:
    config = read_config(
        "sscd", ["data.images=/home/me/photos", "student.trunk=/home/me/trunk.pth", "seed=3", "micro_batch_size=8"]
    )
    assert recipe_command(config) == (
        "python -m distill train --config sscd micro_batch_size=8 seed=3 student.trunk=trunk.pth"
    )


@pytest.mark.parametrize(
    "changed",
    [
        ["student.frozen_layers=[conv_stem, bn1]"],
        ["losses=[{name: koleo, weight: 30}]"],
        ["losses=[{name: infonce}, {name: koleo}, {name: directclr, d0: 64}]", "optimizer.lr=0.1"],
        ["losses.1.weight=10", "data.mixing={}"],
    ],
)
def test_the_command_of_a_card_makes_the_same_run_again(changed: list[str]) -> None:
    config = read_config("default", changed)
    words = shlex.split(recipe_command(config))
    assert words[:6] == ["python", "-m", "distill", "train", "--config", "default"]
    assert differences(read_config("default", words[6:]), config) == []


def test_overrides_go_over_the_file(mine: str) -> None:
    config = read_config(
        mine, ["optimizer.lr=1e-3", "losses.0.weight=2", "losses.0.temperature=0.1", "student.wide_dim=512", "epochs=3"]
    )
    assert config.optimizer.lr == 0.001
    assert config.losses == (LossConfig(name="infonce", weight=2, temperature=0.1),)
    assert config.losses[0].settings == {"temperature": 0.1}
    assert (config.student.wide_dim, config.epochs) == (512, 3)


def test_a_list_can_be_replaced_as_a_whole(mine: str) -> None:
    config = read_config(mine, ["losses=[{name: koleo, weight: 30}]"])
    assert [(loss.name, loss.weight) for loss in config.losses] == [("koleo", 30)]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["optimiser.lr=1"], "unknown key in .*: 'optimiser': .*did you mean 'optimizer'"),
        (["optimizer.lrr=1"], "did you mean 'optimizer.lr'"),
        (["student.dim=1"], "known are student.descriptor_dim"),
        (["epochs"], "an override is KEY=VALUE, got 'epochs'"),
        (["=3"], "an override is KEY=VALUE"),
        (["losses.7.weight=1"], "'7' is not one; entries count from 0"),
        (["losses.x=1"], "'x' is not one"),
        (["name.a=1"], "name.a goes below a value that has no parts"),
        (["epochs=many"], "epochs: Input should be a valid integer.*got 'many'"),
        (["epochs=0"], "epochs: .*greater than or equal to 1, got 0"),
        (["optimizer.lr=.inf"], "optimizer.lr"),
        (["optimizer.lr=0"], "optimizer.lr"),
        (["precision=int4"], "precision: .*'fp32', 'bf16' or 'fp16'"),
        (["epochs=[1"], "the value of epochs is not YAML"),
        (["losses=[]"], "losses: "),
        (["name=../up"], "name: "),
        (["warmup_epochs=10"], "warmup_epochs must be less than epochs, got 10 of 10"),
        (["micro_batch_size=7"], "micro_batch_size must divide batch_size, got 7 and 64"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_wrong_value_is_one_line_that_names_it(mine: str, overrides: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_config(mine, overrides)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("text", "message"), [("- a", "needs keys and values, got list"), ("a: [", "is not YAML")])
def test_a_broken_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_config(str(path))


def test_a_file_that_asks_for_an_object_makes_none(tmp_path: Path) -> None:
    path = tmp_path / "object.yaml"
    path.write_text(f"name: !!python/object/apply:os.mkdir [{tmp_path}/made]\n")
    with pytest.raises(InputError, match="is not YAML"):
        read_config(str(path))
    assert not (tmp_path / "made").exists()


def test_an_unknown_recipe_suggests_the_closest() -> None:
    with pytest.raises(InputError, match="did you mean 'kd_icd'"):
        read_config("kd-icd")
    with pytest.raises(InputError, match=r"no config at absent\.yaml"):
        read_config("absent.yaml")


@given(
    lr=st.floats(1e-9, 1e3),
    decay=st.none() | st.floats(0.01, 0.99),
    epochs=st.integers(2, 10_000),
    about=st.none() | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])),
)
def test_a_configuration_comes_back_as_it_was_written(
    lr: float, decay: float | None, epochs: int, about: str | None
) -> None:
    import yaml

    config = validated(
        {
            "name": "mine",
            "losses": [{"name": "koleo", "epsilon": 1e-8}],
            "optimizer": {"lr": lr},
            "ema_decay": decay,
            "epochs": epochs,
            "data": {"about": about},
        },
        "test",
    )
    assert validated(yaml.safe_load(config_text(config)), "test") == config


def test_only_what_moves_weights_counts_as_a_difference(mine: str) -> None:
    one: RunConfig = read_config(mine)
    same = read_config(mine, ["log_every_steps=3", "checkpoint_every_steps=7", "data.num_workers=2"])
    assert differences(one, same) == []
    other = read_config(mine, ["optimizer.lr=0.5", "losses.0.temperature=0.1", "losses.0.weight=3"])
    assert differences(one, other) == ["losses.0.temperature", "losses.0.weight", "optimizer.lr"]
