"""Keys have streams of their own, and the numbers of a key never change."""

from __future__ import annotations

from icd_mobile.generators import generator


def test_no_two_keys_share_a_stream() -> None:
    """numpy alone pads a seed with zeros: default_rng((1, 2)) and default_rng((1, 2, 0)) draw the same."""
    keys = [("order", (1, 2)), ("order", (1, 2, 0)), ("order", (2, 1)), ("view", (1, 2)), ("view", (1, 2, 0, 0))]
    firsts = {int(generator(stream, *key).integers(2**62)) for stream, key in keys}  # type: ignore[arg-type]
    assert len(firsts) == len(keys)


def test_a_key_repeats() -> None:
    assert generator("choice", 5, 0, 7).random() == generator("choice", 5, 0, 7).random()
