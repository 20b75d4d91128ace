"""The word that every figure carries: how it came about."""

from __future__ import annotations

from typing import Final, Literal

Evidence = Literal["measured", "reference", "published", "not measured"]
NOT_MEASURED: Final = "not measured"
