"""What can be wrong with an .mlpackage, in one line each, and that the parser agrees with coremltools' own."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import coremltools as ct
import numpy as np
import pytest
import torch
from coremltools.converters.mil import Builder as mb  # noqa: N813 (coremltools' own name for it)
from hypothesis import given, settings
from hypothesis import strategies as st

from export.mil import wire
from export.mil.evaluate import Evaluator
from export.mil.package import MAX_SPECIFICATION_VERSION, read_package
from export.mil.session import load
from icd_mobile.errors import InputError, OutsideError

WEIGHT = np.arange(64, dtype=np.float32).reshape(4, 16)  # enough to go into the weight file
MODEL = Path("Data/com.apple.CoreML/model.mlmodel")
WEIGHTS = Path("Data/com.apple.CoreML/weights/weight.bin")
X = np.ones((2, 16), dtype=np.float32)


@pytest.fixture(scope="module")
def made(save_program) -> Path:
    return save_program({"y": (lambda x: mb.linear(x=x, weight=WEIGHT), (X,))})


@pytest.fixture
def package(made: Path, tmp_path: Path) -> Path:
    """A package of this test's own."""
    return Path(shutil.copytree(made, tmp_path / made.name))


def test_weights_are_read_from_the_weight_file(package: Path) -> None:
    """A row of 16 k .. 16 k + 15 sums to 256 k + 120."""
    assert (package / WEIGHTS).stat().st_size > WEIGHT.nbytes
    evaluator = Evaluator(read_package(package).program)
    (output,) = evaluator({"input0": torch.from_numpy(X)}).values()
    assert output.tolist() == [[120, 376, 632, 888]] * 2


def _edit_spec(change: Callable[[object], None]) -> Callable[[Path], None]:
    def damage(package: Path) -> None:
        spec = ct.proto.Model_pb2.Model()
        spec.ParseFromString((package / MODEL).read_bytes())
        change(spec)
        (package / MODEL).write_bytes(spec.SerializeToString())

    return damage


def _newer(spec) -> None:
    spec.specificationVersion = MAX_SPECIFICATION_VERSION + 1


def _neural_network(spec) -> None:
    spec.neuralNetwork.layers.add(name="one")  # takes the place of the program


def _pipeline(spec) -> None:
    spec.pipeline.names.append("one")


def _encrypted(spec) -> None:
    spec.serializedModel.identifier = "one"


def _weights_outside(spec) -> None:
    (block,) = spec.mlProgram.functions["main"].block_specializations.values()
    for operation in block.operations:
        if operation.attributes["val"].HasField("blobFileValue"):
            operation.attributes["val"].blobFileValue.fileName = "@model_path/../../../other.bin"


def _no_main(spec) -> None:
    spec.mlProgram.functions["other"].CopyFrom(spec.mlProgram.functions["main"])
    del spec.mlProgram.functions["main"]


def _size_at_run_time(spec) -> None:
    spec.mlProgram.functions["main"].inputs[0].type.tensorType.dimensions[0].unknown.variadic = False


def _cut(name: Path, num_bytes: int) -> Callable[[Path], None]:
    def damage(package: Path) -> None:
        content = (package / name).read_bytes()
        (package / name).write_bytes(content[:num_bytes])

    return damage


def _model_outside(package: Path) -> None:
    manifest = json.loads((package / "Manifest.json").read_text())
    manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]["path"] = "../../elsewhere.mlmodel"
    (package / "Manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(("damage", "said"), [
    (_edit_spec(_newer), "specification 10, newer than 9"),
    (_edit_spec(_neural_network), "is a neural network"),
    (_edit_spec(_pipeline), "is a pipeline"),
    (_edit_spec(_encrypted), "is an encrypted model"),
    (_edit_spec(_no_main), "needed a function 'main', the program has .'other'"),
    (_edit_spec(_size_at_run_time), "only known at run time"),
    (_edit_spec(_weights_outside), "leads outside"),
    (_model_outside, "leads outside"),
    (_cut(MODEL, -30), "the data end inside"),
    (_cut(MODEL, 0), "no ML Program"),
    (_cut(WEIGHTS, -1), "weight.bin ends inside the weights.*truncated"),
    (_cut(WEIGHTS, 80), "weight.bin ends before.*truncated"),
    (_cut(WEIGHTS, 10), "weight.bin has 10 bytes"),
    (_cut(Path("Manifest.json"), 40), "Manifest.json names no model"),
    (lambda package: (package / WEIGHTS).unlink(), "weight.bin cannot be read"),
    (lambda package: (package / MODEL).unlink(), "model.mlmodel cannot be read"),
    (lambda package: (package / "Manifest.json").unlink(), "is no .mlpackage"),
    (shutil.rmtree, "is missing"),
])  # fmt: skip
def test_a_package_that_cannot_be_evaluated_is_one_line(package: Path, damage, said: str) -> None:
    damage(package)
    with pytest.raises(InputError, match=said) as raised:
        read_package(package)
    assert raised.value.exit_code == 2
    assert "\n" not in str(raised.value)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_damage_to_the_specification_is_an_input_error_or_harmless(made: Path, data: st.DataObject) -> None:
    """Bytes changed or cut anywhere; the weight file is another test's."""
    content = bytearray((made / MODEL).read_bytes())
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory() as folder:
        package = Path(shutil.copytree(made, Path(folder) / "model.mlpackage"))
        (package / MODEL).write_bytes(content[: data.draw(st.integers(0, len(content)))])
        try:
            Evaluator(read_package(package).program)
        except InputError as error:
            assert "\n" not in str(error)


def test_a_file_is_no_package(tmp_path: Path) -> None:
    path = tmp_path / "model.mlmodel"
    path.write_bytes(b"")
    with pytest.raises(InputError, match=r"needed an .mlpackage folder, .* is a file"):
        read_package(path)


def test_a_form_of_an_operation_that_is_not_evaluated_is_refused_by_name(package: Path) -> None:
    def rename(spec) -> None:
        (block,) = spec.mlProgram.functions["main"].block_specializations.values()
        linear = next(one for one in block.operations if one.type == "linear")
        linear.inputs["sharpness"].CopyFrom(linear.inputs["x"])

    _edit_spec(rename)(package)
    with pytest.raises(OutsideError, match=r"linear .* parameters that are not evaluated: sharpness"):
        Evaluator(read_package(package).program)


def test_an_operation_whose_result_is_not_as_declared_is_named(package: Path) -> None:
    def shrink(spec) -> None:
        (block,) = spec.mlProgram.functions["main"].block_specializations.values()
        linear = next(one for one in block.operations if one.type == "linear")
        linear.outputs[0].type.tensorType.dimensions[1].constant.size = 3

    _edit_spec(shrink)(package)
    evaluator = Evaluator(read_package(package).program)
    with pytest.raises(InputError, match=r"linear .* declared float32 \(2, 3\), but is float32 \(2, 4\)"):
        evaluator({"input0": torch.from_numpy(X)})


@pytest.mark.parametrize("inputs", [{}, {"input0": torch.zeros(1, 16)}, {"input0": torch.zeros(2, 16).int()}])
def test_an_input_that_is_missing_or_of_another_kind_is_refused(package: Path, inputs) -> None:
    evaluator = Evaluator(read_package(package).program)
    with pytest.raises(InputError, match="input0"):
        evaluator(inputs)


def test_a_session_wants_one_rgb_image(package: Path) -> None:
    with pytest.raises(InputError, match="needed one RGB image in and one output"):
        load(package, 1)


@settings(max_examples=50)
@given(st.binary(max_size=64))
def test_any_bytes_are_a_message_or_a_value_error(data: bytes) -> None:
    try:
        wire.parse(data)
    except ValueError:
        return


@given(
    st.lists(st.integers(-(2**31), 2**31 - 1), max_size=5),
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5),
    st.lists(st.floats(width=32, allow_nan=False), max_size=5),
    st.text(max_size=20),
)
def test_the_parser_reads_what_protobuf_writes(ints: list[int], longs: list[int], floats: list[float], text: str):
    """MIL.proto numbers TensorValue's lists: 1 floats, 2 ints, 4 strings, 5 longInts."""
    tensor = ct.proto.MIL_pb2.TensorValue
    written = wire.parse(tensor(ints=tensor.RepeatedInts(values=ints)).SerializeToString())
    assert wire.integers(wire.message(written, 2), 1) == ints
    written = wire.parse(tensor(longInts=tensor.RepeatedLongInts(values=longs)).SerializeToString())
    assert wire.integers(wire.message(written, 5), 1) == longs
    written = wire.parse(tensor(floats=tensor.RepeatedFloats(values=floats)).SerializeToString())
    assert wire.floats(wire.message(written, 1), 1, "f") == floats
    written = wire.parse(tensor(strings=tensor.RepeatedStrings(values=[text])).SerializeToString())
    assert wire.contents(wire.message(written, 4), 1) == [text.encode()]
