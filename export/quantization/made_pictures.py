"""The validation benchmark of those who bring none: pictures made by code, and edited copies of them.

The photographs that this project's dependencies install are all in use, for calibration or in the test sample, so that
no photograph is left. What these pictures can tell: whether quantisation moves the descriptors of textures, edges and
shapes, through the same edits. What they cannot: how the photographs of an app behave. Bring some of those where you
can: `python -m bench make-dataset`, then `--validation`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from icd_mobile.datasets.sample_pictures import procedural_picture

NAME = "made-pictures-v1"  # v1: first. Whatever changes a pixel or a pair of it changes this name.
NUM_PICTURES = 240
NUM_QUERIES = 200
_FIRST_SEED = 500_000  # far from the sample's distractors, queries and backgrounds
_SHAPES_PX = ((384, 288), (288, 384), (320, 320), (384, 256))


OnImage = Callable[[int, int], None]


def build_made_pictures(datasets_dir: Path, on_image: OnImage = lambda _done, _all: None) -> Path:
    """The benchmark's folder below `datasets_dir`, built whole if it is not there yet.

    `on_image` is called with the number of pictures drawn and the number of all.

    Raises:
        OSError: the folder cannot be written.
    """
    from icd_mobile.datasets.made.make import make_dataset
    from icd_mobile.datasets.made.plan import Settings

    folder = datasets_dir / NAME
    if folder.is_dir():
        return folder
    datasets_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".made-", dir=datasets_dir) as temporary:
        pictures = Path(temporary) / "pictures"
        pictures.mkdir()
        for index in range(NUM_PICTURES):
            picture = procedural_picture(_FIRST_SEED + index, _SHAPES_PX[index % len(_SHAPES_PX)])
            picture.save(pictures / f"{index:03d}.png")
            on_image(index + 1, NUM_PICTURES)
        settings = Settings(num_queries=NUM_QUERIES, unmatched_share=0.3, training_share=0.0, size_px=384)
        made = make_dataset(pictures, Path(temporary) / NAME, seed=0, settings=settings)
        if not folder.is_dir():  # another process may have been first
            made.folder.rename(folder)
    return folder
