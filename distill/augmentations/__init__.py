"""Augmentations by name: what makes a training view of a photograph. Import-light: each loads when it is opened."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from icd_mobile.errors import unknown_name

if TYPE_CHECKING:
    from distill.augmentations.pipeline import Pipeline

AUGMENTATIONS: dict[str, str] = {
    "none": "distill.augmentations.sscd.NONE",
    "strong_blur": "distill.augmentations.sscd.STRONG_BLUR",
    "advanced": "distill.augmentations.sscd.ADVANCED",
    "copy": "distill.augmentations.copies.COPY",
}


def open_augmentation(name: str) -> Pipeline:
    """The steps of an augmentation.

    Raises:
        InputError: no such augmentation.
    """
    if name not in AUGMENTATIONS:
        raise unknown_name("augmentation", name, AUGMENTATIONS)
    module, _, attribute = AUGMENTATIONS[name].rpartition(".")
    pipeline: Pipeline = getattr(importlib.import_module(module), attribute)
    return pipeline
