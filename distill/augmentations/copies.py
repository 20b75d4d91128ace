"""`copy`: our own, stronger set: ADVANCED, and what the Image Similarity Challenge does besides.

Between ADVANCED's crop and its colours, two views in five are set into something else: pasted onto another
photograph, beside one, under one, between bars, or into a screenshot. The crop is now and then a tenth of the picture,
or none. The strengths are those of `distill.edits`; of its kinds, noise, pixels, stretch and perspective are left out,
so that a benchmark made of its edits also asks for what no training view has shown.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from distill.augmentations.geometric import RandomCrop, Resize
from distill.augmentations.pipeline import Context, OneOf, Pipeline, Step
from distill.augmentations.screenshot import Screenshot
from distill.augmentations.sscd import COLOR_AND_BLUR, FLIP_TURN_AND_OVERLAY, JPEG
from distill.edits import EDITS


@dataclass(frozen=True)
class Edit:
    """An edit of `distill.edits` by name; only the kinds that use another photograph draw one."""

    name: str
    draws_other: bool = False

    def __call__(self, image: Image.Image, rng: np.random.Generator, context: Context) -> Image.Image:
        return EDITS[self.name](image, rng, context.other(rng) if self.draws_other else image)


_CROP = OneOf(
    (
        Step(0.7, RandomCrop(scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3))),
        Step(0.15, Edit("heavy_crop")),
        Step(0.15, Edit("crop")),
    )
)
_SETTING = OneOf(
    (
        Step(0.3, Edit("overlay", draws_other=True)),
        Step(0.15, Edit("sticker", draws_other=True)),
        Step(0.15, Edit("collage", draws_other=True)),
        Step(0.2, Edit("frame")),
        Step(0.2, Screenshot(share=(0.45, 0.8))),
    )
)

COPY: Pipeline = (
    *FLIP_TURN_AND_OVERLAY,
    Step(0.9, _CROP),
    Step(0.4, _SETTING),
    Step(1.0, Resize()),
    *COLOR_AND_BLUR,
    JPEG,
)
