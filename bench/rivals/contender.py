"""Who takes part: anything that turns a picture into a vector whose inner products rank copies first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from icd_mobile.evidence import Evidence

Kind = Literal["student", "teacher", "rival", "hash"]


class Describer(Protocol):
    """Calls go feed, invoke, read; `invoke` alone is timed."""

    def feed(self, picture: Image.Image) -> None:
        """Take one RGB picture of any size, in whatever form `invoke` starts from."""

    def invoke(self) -> None:
        """Describe it."""

    def read(self) -> NDArray[np.float32]:
        """(D,) of the last `invoke`, of unit length."""


@dataclass(frozen=True)
class Contender:
    """One that is here, opened on one thread."""

    name: str
    kind: Kind
    target: str  # as bundles have it, or the kind: the colour of its mark
    precision: str  # "" of a hash
    size_px: int | None  # None: it takes the picture as it is
    descriptor_bytes: int
    model_bytes: int  # 0: there is no model
    timed: str  # what its p50 is of
    describer: Describer
    evidence: Evidence = "measured"
    not_timed: str = ""  # why it has no p50; "" where it has one


@dataclass(frozen=True)
class Absent:
    """One that would take part; `reason` ends in what brings it."""

    name: str
    kind: Kind
    reason: str
