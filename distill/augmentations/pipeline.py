"""A pipeline is a tuple of steps, each applied with its probability, all drawing from one generator.

Every number of a step is a field of its frozen dataclass, so that `repr(pipeline)` says all of it: a cache of views is
known by that text. The same generator state gives the same pixels, whatever process draws them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image

from icd_mobile.pictures.preprocessing import Pixels, to_pixels

Range = tuple[float, float]  # both ends included, drawn uniformly


@dataclass(frozen=True)
class Context:
    """What a step may need besides its image: the view's side S, and another photograph drawn from the collection."""

    size_px: int
    other: Callable[[np.random.Generator], Image.Image]


class Transform(Protocol):
    """RGB image of any size -> RGB image; nothing is drawn but from `rng`."""

    def __call__(self, image: Image.Image, rng: np.random.Generator, context: Context, /) -> Image.Image: ...


@dataclass(frozen=True)
class Step:
    """A transform and how often it is applied, 0..1."""

    probability: float
    transform: Transform


Pipeline = tuple[Step, ...]


@dataclass(frozen=True)
class OneOf:
    """Exactly one of its steps, whose probabilities sum to 1."""

    steps: Pipeline

    def __call__(self, image: Image.Image, rng: np.random.Generator, context: Context) -> Image.Image:
        chosen = rng.choice(len(self.steps), p=[step.probability for step in self.steps])
        return self.steps[int(chosen)].transform(image, rng, context)


def draw_view(pipeline: Pipeline, image: Image.Image, rng: np.random.Generator, context: Context) -> Pixels:
    """One view (S, S, 3) uint8 of an RGB image of any size."""
    for step in pipeline:
        if rng.random() < step.probability:
            image = step.transform(image, rng, context)
    return to_pixels(image, context.size_px)
