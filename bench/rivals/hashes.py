"""Perceptual hashes as contenders: B bits as B values of +-1 / sqrt(B), whose inner product is 1 - 2 x Hamming / B.

That ranks as the Hamming distance does, so the search and the judge of descriptors serve. PDQ's 256 bits and pHash's 64
are exact so: 1/16 and 1/8, and equal distances are equal scores.

Sources: Facebook, "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm", 2019; C. Zauner,
"Implementation and Benchmarking of Perceptual Image Hash Functions", 2010 (pHash).
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.rivals.contender import Absent, Contender
from icd_mobile.extras import install_command

TIMED = "greyscale and shrinking from the whole decoded picture, and the hash"


@dataclass(frozen=True)
class HashSpec:
    """One row: the module that has the hash, its number of bits, and how it is called."""

    module: str
    num_bits: int
    prepare: Callable[[Image.Image], Any]  # what the hash wants, not timed: a form of the same decoded picture
    bits: Callable[[Any, Any], Any]  # the module and what was prepared, to `num_bits` values that are 0 or 1


HASHES: dict[str, HashSpec] = {
    "PDQ": HashSpec("pdqhash", 256, np.ascontiguousarray, lambda module, pixels: module.compute(pixels)[0]),
    "pHash": HashSpec("imagehash", 64, lambda picture: picture, lambda module, picture: module.phash(picture).hash),
}


def signed(bits: NDArray[Any]) -> NDArray[np.float32]:
    """(B,) bits to (B,) of unit length.

    >>> signed(np.array([1, 0, 0, 1])).tolist()
    [0.5, -0.5, -0.5, 0.5]
    """
    values: NDArray[np.float32] = (2 * bits.astype(np.float32) - 1) / np.float32(math.sqrt(len(bits)))
    return values


class HashDescriber:
    """One hash behind the calls of `Describer`."""

    def __init__(self, spec: HashSpec, module: Any) -> None:
        self._spec, self._module = spec, module
        self._prepared: Any = None
        self._bits: Any = None

    def feed(self, picture: Image.Image) -> None:
        self._prepared = self._spec.prepare(picture)

    def invoke(self) -> None:
        self._bits = self._spec.bits(self._module, self._prepared)

    def read(self) -> NDArray[np.float32]:
        return signed(np.asarray(self._bits).reshape(-1))


def hash_contender(name: str, spec: HashSpec) -> Contender | Absent:
    """A row of `HASHES`, or what installs it."""
    try:
        module = importlib.import_module(spec.module)
    except ModuleNotFoundError as error:
        if error.name != spec.module:
            raise
        return Absent(name, "hash", f"{spec.module} is not installed: {install_command(spec.module)}")
    return Contender(
        name=name,
        kind="hash",
        target="hash",
        precision="",
        size_px=None,
        descriptor_bytes=spec.num_bits // 8,
        model_bytes=0,
        timed=TIMED,
        describer=HashDescriber(spec, module),
    )
