"""What tests of several packages share."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # inherited from a shell that runs us in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that converts in seconds: Lite0 at 64 px and D = 64, random weights from a fixed seed."""
    import torch

    from distill.checkpoint import make_card, save_checkpoint
    from distill.students import Student

    torch.manual_seed(0)
    student = Student("efficientnet_lite0", 64, 64).eval()
    card = make_card(student, trunk="random", recipe="none: made by a test", data="none", licence="MIT")
    path = tmp_path_factory.mktemp("checkpoint") / "tiny.safetensors"
    save_checkpoint(path, student, card)
    return path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest test first: while one worker follows the README, the other runs the rest."""
    items.sort(key=lambda item: item.name != "test_every_code_block_runs")  # a stable sort: the rest keeps its order
