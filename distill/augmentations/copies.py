"""`copy`: our own set: what the Image Similarity Challenge does, in the order of ADVANCED.

More than half of the views are set into something else: pasted onto another photograph, beside one, under one, between
bars, or into a screenshot; that is where descriptors fail first. Turns are of the challenge's kinds, with a coloured
ground; crops come less often than in ADVANCED, and colours and blur are milder, so that a view is seldom beyond
recognition. The strengths are those of `pictures.edits`; of its kinds, noise, pixels, stretch and perspective are left
out, so that a benchmark made of its edits also asks for what no training view has shown.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from distill.augmentations.geometric import HorizontalFlip, RandomCrop, Resize
from distill.augmentations.photometric import Blur, ColorJitter, Grayscale
from distill.augmentations.pipeline import Context, OneOf, Pipeline, Step
from distill.augmentations.screenshot import Screenshot
from distill.augmentations.sscd import JPEG, TEXT_AND_EMOJI
from icd_mobile.pictures.edits import EDITS


@dataclass(frozen=True)
class Edit:
    """An edit of `icd_mobile.pictures.edits` by name; only the kinds that use another photograph draw one."""

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
_TURN = OneOf((Step(0.6, Edit("rotate")), Step(0.4, Edit("quarter_turn"))))
_SETTING = OneOf(
    (
        Step(0.4, Edit("overlay", draws_other=True)),
        Step(0.25, Edit("collage", draws_other=True)),
        Step(0.1, Edit("sticker", draws_other=True)),
        Step(0.15, Edit("frame")),
        Step(0.1, Screenshot(share=(0.45, 0.8))),
    )
)

COPY: Pipeline = (
    Step(0.5, HorizontalFlip()),
    *TEXT_AND_EMOJI,
    Step(0.6, _CROP),
    Step(0.15, _TURN),
    Step(0.55, _SETTING),
    Step(0.1, _TURN),
    Step(1.0, Resize()),
    Step(0.6, ColorJitter(brightness=0.5, contrast=0.5, saturation=0.8, hue=0.2)),
    Step(0.2, Grayscale()),
    Step(0.3, Blur(radius_px=(1.0, 4.0))),
    JPEG,
)
