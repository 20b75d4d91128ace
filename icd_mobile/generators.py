"""Random generators by key: the same key gives the same numbers in any process, and no two keys share a stream."""

from __future__ import annotations

from typing import Literal

import numpy as np

Stream = Literal["order", "view", "choice", "mixing"]
_STREAMS: tuple[Stream, ...] = ("order", "view", "choice", "mixing")  # appended to, never reordered


def generator(stream: Stream, *key: int) -> np.random.Generator:
    """The generator of a stream at a key of integers >= 0.

    The stream and the length lead, because numpy pads a seed with zeros: (1, 2) and (1, 2, 0) would be the same.
    """
    return np.random.default_rng((_STREAMS.index(stream), len(key), *key))
