"""The losses of a recipe by name. What each is, and where its numbers come from: docs/losses.md."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING

from icd_mobile.errors import InputError, unknown_name

if TYPE_CHECKING:
    from torch import nn

# A new loss is a file here and a row: "module:Class", imported when used. Its class meets distill.losses.batch.Loss.
LOSSES: dict[str, str] = {
    "similarity_distillation": "distill.losses.similarity_distillation:SimilarityDistillation",
    "koleo": "distill.losses.koleo:KoLeo",
    "directclr": "distill.losses.directclr:DirectCLR",
    "infonce": "distill.losses.infonce:InfoNCE",
    "momentum_contrast": "distill.losses.momentum_contrast:MomentumContrast",
    "hard_negative": "distill.losses.hard_negative:HardNegative",
    "relational": "distill.losses.relational:Relational",
    "regression": "distill.losses.regression:Regression",
}


def build_loss(name: str, settings: Mapping[str, object]) -> nn.Module:
    """The loss of that name with those settings, the rest at their defaults.

    Raises:
        InputError: unknown loss or setting (the closest name is suggested), or a value of the wrong kind or range.
    """
    if name not in LOSSES:
        raise unknown_name("loss", name, LOSSES)
    module_name, class_name = LOSSES[name].split(":")
    loss_class: type[nn.Module] = getattr(importlib.import_module(module_name), class_name)
    known = {parameter.name: parameter.default for parameter in inspect.signature(loss_class).parameters.values()}
    for setting, value in settings.items():
        if setting not in known:
            raise unknown_name(f"setting of loss {name}", setting, known)
        _check_kind(f"loss {name}: {setting}", value, known[setting])
    return loss_class(**settings)


def _check_kind(what: str, value: object, default: object) -> None:
    """Refuse a value that is not of the default's kind; an int is good for a float, a bool for neither."""
    kinds = (int, float) if isinstance(default, float) else (type(default),)
    if not isinstance(value, kinds) or isinstance(value, bool):
        needed = {float: "a number", int: "a whole number", str: "a word"}[type(default)]
        is_number = isinstance(default, float) and isinstance(value, str)
        hint = "; with an exponent YAML wants a point and a sign: 1.0e-4" if is_number else ""
        raise InputError(f"{what} must be {needed}, got {value!r}{hint}")
