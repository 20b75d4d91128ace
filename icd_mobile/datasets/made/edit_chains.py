"""How strongly the queries of a made dataset are edited: how many edits, of which kinds, in which order.

The kinds are those of `pictures.edits`, after the Image Similarity Challenge; how often each is drawn is our choice.
A crop comes before anything is pasted, and a chain has one kind of crop and one of pasting at most: otherwise a crop
could cut away all that is left of the reference, and the pair would be a match on paper only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from icd_mobile.errors import unknown_name
from icd_mobile.pictures.edits import EDITS

_LIGHT = ("crop", "text", "flip", "blur", "jpeg", "color_jitter", "grayscale", "frame", "noise", "stretch")
_MEDIUM = (*_LIGHT, "pixelate", "sticker", "rotate", "quarter_turn", "perspective", "collage", "overlay")
_CROPS = ("crop", "heavy_crop")
_EXCLUSIVE = (_CROPS, ("overlay", "collage", "sticker"))
_WITH_BACKGROUND = frozenset({"overlay", "sticker", "collage"})


@dataclass(frozen=True)
class Strength:
    """A chain has `num_edits` (least, most) of `edits`, all different, and one of `one_of` where that names any."""

    num_edits: tuple[int, int]
    edits: tuple[str, ...]
    one_of: tuple[str, ...] = ()


STRENGTHS = {
    "easy": Strength((1, 1), _LIGHT),
    "medium": Strength((1, 2), _MEDIUM),
    "hard": Strength((2, 4), tuple(EDITS), one_of=("heavy_crop", "overlay", "collage")),
}
MIXED = "mixed"
MIXED_SHARES = {"easy": 0.25, "medium": 0.4, "hard": 0.35}


def check_strength(name: str) -> None:
    """Raise an InputError with the closest known name where there is no such strength."""
    if name not in {*STRENGTHS, MIXED}:
        raise unknown_name("strength", name, [*STRENGTHS, MIXED])


def draw_strength(name: str, rng: np.random.Generator) -> str:
    """The strength of one query: `name`, or for 'mixed' one of the three by their shares."""
    if name != MIXED:
        return name
    return str(rng.choice(list(MIXED_SHARES), p=list(MIXED_SHARES.values())))


def draw_chain(strength: Strength, rng: np.random.Generator) -> tuple[str, ...]:
    """Names of the edits of one query, in the order in which they are applied."""
    least, most = strength.num_edits
    num_edits = int(rng.integers(least, most + 1))
    names = [str(rng.choice(strength.one_of))] if strength.one_of else []
    while len(names) < num_edits:
        names.append(str(rng.choice([name for name in strength.edits if _fits(name, names)])))
    rng.shuffle(names)
    return tuple(sorted(names, key=lambda name: name not in _CROPS))


def needs_background(edits: Sequence[str]) -> bool:
    """Whether the chain shows a second photograph."""
    return not _WITH_BACKGROUND.isdisjoint(edits)


def edited_copy(
    image: Image.Image, background: Image.Image, edits: Sequence[str], rng: np.random.Generator, limit_px: int
) -> Image.Image:
    """Apply the edits in order; RGB, and never longer than `limit_px`, so that no chain grows without bound.

    Raises:
        InputError: no such edit.
    """
    edited, other = limited(image, limit_px), limited(background, limit_px)
    for name in edits:
        if name not in EDITS:
            raise unknown_name("edit", name, EDITS)
        edited = limited(EDITS[name](edited, rng, other), limit_px)
    return edited


def limited(image: Image.Image, limit_px: int) -> Image.Image:
    """A copy whose longer side is at most `limit_px`, in the same aspect, without the metadata of its file."""
    small = image.copy()
    small.thumbnail((limit_px, limit_px), Image.Resampling.BICUBIC)
    small.info = {}
    return small


def _fits(name: str, names: Sequence[str]) -> bool:
    return name not in names and not any(name in group and not set(group).isdisjoint(names) for group in _EXCLUSIVE)
