"""SSCD's two augmentations, in its order and with its numbers, and none at all.

Source: Pizzi et al., "A Self-Supervised Descriptor for Image Copy Detection", CVPR 2022, and its code
(facebookresearch/sscd-copy-detection, `sscd/transforms/settings.py`). Where ours differ: `docs/augmentations.md`.
"""

from __future__ import annotations

from distill.augmentations.geometric import HorizontalFlip, QuarterTurn, RandomResizedCrop, Rotate
from distill.augmentations.overlays import Emoji, Text
from distill.augmentations.photometric import Blur, ColorJitter, Grayscale, Jpeg
from distill.augmentations.pipeline import Pipeline, Step

NONE: Pipeline = ()  # the whole image squeezed to S x S

_CROP = Step(1.0, RandomResizedCrop(scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3)))
_COLOR_AND_BLUR: Pipeline = (
    Step(0.8, ColorJitter(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2)),
    Step(0.2, Grayscale()),
    Step(0.5, Blur(radius_px=(1.0, 5.0))),
)

STRONG_BLUR: Pipeline = (_CROP, Step(0.5, HorizontalFlip()), *_COLOR_AND_BLUR)

TEXT_AND_EMOJI: Pipeline = (
    Step(0.1, Text(size=(0.1, 0.3), opacity=(0.1, 1.0))),
    Step(0.2, Emoji(size=(0.1, 0.5), opacity=(0.7, 1.0))),
)
JPEG = Step(0.2, Jpeg(quality=(0, 100)))

ADVANCED: Pipeline = (
    Step(0.5, HorizontalFlip()),
    Step(0.05, QuarterTurn()),
    *TEXT_AND_EMOJI,
    Step(0.05, Rotate(degrees=(0, 359))),
    _CROP,
    *_COLOR_AND_BLUR,
    JPEG,
)
