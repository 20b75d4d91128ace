"""The bench of the training loop: its ratios by hand, and that its rounds run."""

from __future__ import annotations

from pathlib import Path

import pytest

from distill.comparison.throughput import bench_config, make_inputs
from distill.comparison.throughput_rounds import Rounds


def test_ratios_are_medians_of_the_rounds() -> None:
    """Loop 2, 4, 1 s a step; bare 1, 4, 2: ratios 0.5, 1, 2. Online 8, 4, 3: 4, 1, 3."""
    rounds = Rounds(bare_s=[1.0, 4.0, 2.0], loop_s=[2.0, 4.0, 1.0], online_s=[8.0, 4.0, 3.0])
    assert (rounds.of_bare, rounds.of_online) == (1.0, 3.0)


def test_the_three_take_their_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from distill.comparison import throughput_rounds
    from distill.training.online_teacher import OnlineTeacher

    teacher = OnlineTeacher(throughput_rounds.random_teacher(64))
    monkeypatch.setattr(throughput_rounds, "resnet50_teacher", lambda: teacher)
    make_inputs(tmp_path, size_px=64)
    config = bench_config("resnet18", 64, batch_size=2, num_rounds=2, steps=1, folder=tmp_path)
    rounds = throughput_rounds.run_rounds(config, tmp_path, num_rounds=2, num_steps=1)
    for seconds in (rounds.bare_s, rounds.loop_s, rounds.online_s):
        assert len(seconds) == 2
        assert min(seconds) > 0
