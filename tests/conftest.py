"""What tests of several packages share."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # inherited from a shell that runs us in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that converts in seconds: Lite0 at 64 px and D = 64, random weights from a fixed seed."""
    import torch

    from distill.students.checkpoint import make_card, save_checkpoint
    from distill.students.student import Student

    torch.manual_seed(0)
    student = Student("efficientnet_lite0", 64, 64).eval()
    card = make_card(student, trunk="random", recipe="none: made by a test", data="none", licence="MIT")
    path = tmp_path_factory.mktemp("checkpoint") / "tiny.safetensors"
    save_checkpoint(path, student, card)
    return path


# Python that finds some modules nowhere, whatever is installed: `python -c WITHOUT a,b PACKAGE WORDS...`
WITHOUT = """
import runpy, sys

absent = set(sys.argv[1].split(","))

class Without:
    def __init__(self, finder):
        self._finder = finder
    def __getattr__(self, name):
        return getattr(self._finder, name)
    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in absent else self._finder.find_spec(name, path, target)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
package = sys.argv[2]
del sys.argv[1:3]
runpy.run_module(package, run_name="__main__", alter_sys=True)
"""


@pytest.fixture
def run_without() -> Callable[..., subprocess.CompletedProcess[str]]:
    """`run_without(modules, folder, package, *words)`: `python -m` as if the modules were not installed."""

    def run(modules: Iterable[str], folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", WITHOUT, ",".join(modules), *words]
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)

    return run


def smooth_picture(seed: int) -> Image.Image:
    """A few colours blended into each other: unlike any other seed's picture, even at 8 x 8 pixels."""
    colours = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(colours).resize((96, 96), Image.Resampling.BICUBIC)


def make_dataset(folder: Path) -> Path:
    """Six references; five queries: four brightened copies and one picture that matches nothing."""
    (folder / "references").mkdir(parents=True)
    (folder / "queries").mkdir()
    for index in range(6):
        smooth_picture(index).save(folder / "references" / f"r{index}.png")
    for index in range(4):
        smooth_picture(index).point(lambda value: min(255, value + 12)).save(folder / "queries" / f"q{index}.png")
    smooth_picture(99).save(folder / "queries" / "q4.png")
    with (folder / "ground_truth.csv").open("w", newline="") as file:
        rows = [(f"q{index}", f"r{index}") for index in range(4)] + [("q4", "")]
        csv.writer(file).writerows([("query_id", "reference_id"), *rows])
    return folder


@pytest.fixture(scope="session")
def dataset_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`make_dataset`'s folder; not to be written to."""
    return make_dataset(tmp_path_factory.mktemp("datasets") / "tiny")


@pytest.fixture
def own_dataset_dir(tmp_path: Path) -> Path:
    """`make_dataset`'s folder, for this test alone."""
    return make_dataset(tmp_path / "dataset")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest test first: while one worker follows the README, the other runs the rest."""
    items.sort(key=lambda item: item.name != "test_every_code_block_runs")  # a stable sort: the rest keeps its order
