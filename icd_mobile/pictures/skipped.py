"""Images that did not decode, named on standard error."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

MAX_NAMED = 20  # that a summary names


@dataclass(frozen=True)
class Skipped:
    """An image that did not decode."""

    name: str
    reason: str


def report_skipped(skipped: Sequence[Skipped], num_images: int) -> None:
    """Name the images that do not decode, the first of them, on standard error."""
    if skipped:
        print(f"skipped {len(skipped):,} of {num_images:,} images that do not decode:", file=sys.stderr)
    for image in skipped[:MAX_NAMED]:
        print(f"  {image.name}: {image.reason}", file=sys.stderr)
    if len(skipped) > MAX_NAMED:
        print(f"  and {len(skipped) - MAX_NAMED:,} more", file=sys.stderr)
