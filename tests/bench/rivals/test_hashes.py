"""Hashes as vectors: the order of Hamming distances, exactly; and what is said where a package is missing."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from bench.rivals.contender import Absent, Contender
from bench.rivals.hashes import HASHES, HashSpec, hash_contender, signed


@pytest.mark.parametrize("num_bits", [64, 256])
def test_the_inner_product_is_one_less_twice_the_share_of_bits_apart_exactly(num_bits: int) -> None:
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 2, (2, num_bits))
    hamming = int(np.sum(one != other))
    assert float(signed(one) @ signed(other)) == 1 - 2 * hamming / num_bits  # powers of two: nothing is rounded
    assert float(signed(one) @ signed(one)) == 1.0


@pytest.mark.parametrize("name", HASHES)
def test_a_hash_has_the_bits_of_its_row_and_sees_its_picture(name: str) -> None:
    pytest.importorskip(HASHES[name].module)
    contender = hash_contender(name, HASHES[name])
    assert isinstance(contender, Contender)
    vectors = []
    for seed in (0, 1):
        pixels = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
        contender.describer.feed(Image.fromarray(pixels).resize((90, 70), Image.Resampling.BICUBIC))
        contender.describer.invoke()
        vectors.append(contender.describer.read())
    assert [len(vector) for vector in vectors] == [8 * contender.descriptor_bytes] * 2
    assert np.linalg.norm(vectors[0]) == pytest.approx(1.0)
    assert float(vectors[0] @ vectors[1]) < 0.9


def test_pdq_and_phash_have_the_bytes_of_their_papers() -> None:
    assert {name: spec.num_bits // 8 for name, spec in HASHES.items()} == {"PDQ": 32, "pHash": 8}


def test_a_package_that_is_missing_is_a_row_with_the_command_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named '{name}'", name=name)

    monkeypatch.setattr("bench.rivals.hashes.importlib.import_module", missing)
    found = hash_contender("PDQ", HASHES["PDQ"])
    assert found == Absent("PDQ", "hash", "pdqhash is not installed: pip install 'icd-mobile[rivals]'")


def test_a_package_that_lacks_one_of_its_own_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_name: str) -> None:
        raise ModuleNotFoundError("No module named 'scipy'", name="scipy")

    monkeypatch.setattr("bench.rivals.hashes.importlib.import_module", broken)
    with pytest.raises(ModuleNotFoundError, match="scipy"):
        hash_contender("pHash", HASHES["pHash"])


def test_another_hash_is_a_row() -> None:
    spec = HashSpec("math", 4, lambda picture: picture, lambda _module, _picture: np.array([[1, 0], [0, 1]]))
    contender = hash_contender("mine", spec)
    assert isinstance(contender, Contender)
    contender.describer.feed(Image.new("RGB", (4, 4)))
    contender.describer.invoke()
    assert contender.describer.read().tolist() == [0.5, -0.5, -0.5, 0.5]
