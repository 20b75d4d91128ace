"""How an ONNX graph wants its pictures: read from the graph where it says so, from a note beside it where it cannot.

A graph says its layout, type and side, and whether it scales pixels itself: whatever arithmetic with constants stands
before its first layer is that. A float graph that begins with a layer may want any scaling, so a person has to say
which: `FILE.onnx.json` beside it, such as `{"pixels": "imagenet"}`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import pydantic
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from PIL import Image

from distill.teachers.teacher import IMAGENET_MEAN, IMAGENET_STD
from icd_mobile.errors import InputError
from icd_mobile.strict import Strict

Triple = tuple[float, float, float]
Pixels = Literal["bytes", "unit", "half", "imagenet"]

# What each word asks of pixels that were scaled to 0..1: (x - mean) / std.
SCALINGS: dict[Pixels, tuple[Triple, Triple]] = {
    "bytes": ((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255)),  # 0..255
    "unit": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),  # 0..1
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),  # -1..1
    "imagenet": (IMAGENET_MEAN, IMAGENET_STD),
}
DTYPES: dict[int, str] = {TensorProto.FLOAT: "float32", TensorProto.FLOAT16: "float16", TensorProto.UINT8: "uint8"}
_NEEDED = "one picture input, (N, 3, S, S) or (N, S, S, 3), of uint8, float32 or float16"
_OF_CLASSES = frozenset({"Softmax", "LogSoftmax"})
_PASSED_BY = frozenset({"Cast", "Transpose", "Identity"})
_PRECISIONS: dict[int, str] = {TensorProto.INT8: "int8", TensorProto.UINT8: "int8", TensorProto.FLOAT16: "fp16"}
# Scaling inside that is meant for 0..255 multiplies by less than this, or shifts by more: 1/255 and 1/58 do, as does
# 123; 1/0.225 and 0.485, which are meant for 0..1, do not.
_LARGEST_FACTOR_OF_BYTES, _LARGEST_SHIFT_OF_UNIT = 0.2, 20.0


class Note(Strict):
    """`FILE.onnx.json`: what a graph cannot say of itself."""

    pixels: Pixels | None = None
    resample: Literal["bilinear", "bicubic"] = "bilinear"  # how its authors squeeze a picture to S x S


@dataclass(frozen=True)
class Contract:
    """What a graph takes, and what it is stored as."""

    is_channel_last: bool
    dtype: str  # of numpy
    size_px: int | None  # None: any
    batch: int | None  # None: any
    pixels: Pixels
    resample: Image.Resampling
    precision: str  # of most of its weights
    num_bytes: int  # of its file

    @property
    def scaling(self) -> tuple[Triple, Triple]:
        """Mean and std of pixels as 0..1."""
        return SCALINGS[self.pixels]


def read_contract(path: Path, known: Note | None = None) -> Contract:
    """The contract of a graph; `known` is what a catalogue says of it, and goes before a note beside the file.

    Raises:
        InputError: unreadable, of other inputs or outputs, not square, or of a scaling that nothing tells.
    """
    model = _read_graph(path)
    stored = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in stored]
    shape = [dim.dim_value or None for dim in inputs[0].type.tensor_type.shape.dim] if len(inputs) == 1 else []
    kind = inputs[0].type.tensor_type.elem_type if len(inputs) == 1 else 0
    if len(shape) != 4 or kind not in DTYPES or (shape[1] == 3) == (shape[3] == 3):
        raise InputError(f"{path} needs {_NEEDED}; it has {', '.join(map(_described, inputs)) or 'none'}")
    if len(model.graph.output) != 1:
        names = ", ".join(value.name for value in model.graph.output)
        raise InputError(f"{path} needs one output (N, D), it has {len(model.graph.output)}: {names}")
    if any(node.op_type in _OF_CLASSES and model.graph.output[0].name in node.output for node in model.graph.node):
        raise InputError(f"{path} ends in a softmax: it sorts into classes, and a teacher describes; give another file")
    is_channel_last = shape[3] == 3
    sides = {side for side in (shape[1:3] if is_channel_last else shape[2:4]) if side is not None}
    if len(sides) > 1:
        raise InputError(f"{path} takes {_described(inputs[0])}, which is not square; export it for S x S")
    note = known or _read_note(path)
    return Contract(
        is_channel_last=is_channel_last,
        dtype=DTYPES[kind],
        size_px=sides.pop() if sides else None,
        batch=shape[0],
        pixels=_pixels(path, model, inputs[0].name, DTYPES[kind], note),
        resample=Image.Resampling[note.resample.upper()],
        precision=_precision(model),
        num_bytes=path.stat().st_size,
    )


def _read_graph(path: Path) -> onnx.ModelProto:
    try:
        return onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's own kinds, which share no base class with ours
        raise InputError(f"{path} is not a readable ONNX file ({str(error).splitlines()[0]}); copy it again") from error


def _described(value: onnx.ValueInfoProto) -> str:
    """Such as `float32 (batch, 3, 224, 224)`."""
    tensor = value.type.tensor_type
    dims = ", ".join(str(dim.dim_param or dim.dim_value or "?") for dim in tensor.shape.dim)
    kind = DTYPES.get(tensor.elem_type) or TensorProto.DataType.Name(tensor.elem_type).lower()
    return f"{kind} ({dims})"


def note_path(path: Path) -> Path:
    """Where the note on a graph stands."""
    return path.with_name(f"{path.name}.json")


def _read_note(path: Path) -> Note:
    place = note_path(path)
    if not place.is_file():
        return Note()
    try:
        return Note.model_validate_json(place.read_bytes())
    except pydantic.ValidationError as error:
        reason = "; ".join(str(error).splitlines()[1:3])
        raise InputError(f'{place} is not a note on a teacher ({reason}); write {{"pixels": "imagenet"}}') from error


def _pixels(path: Path, model: onnx.ModelProto, name: str, dtype: str, note: Note) -> Pixels:
    """From the graph where it scales pixels itself, or takes them as bytes; else from the note."""
    factor, shift, is_scaled = _scaling_inside(model, name)
    read: Pixels | None = None
    if dtype == "uint8":
        read = "bytes"
    elif is_scaled:
        is_of_bytes = np.abs(factor).max() < _LARGEST_FACTOR_OF_BYTES or np.abs(shift).max() > _LARGEST_SHIFT_OF_UNIT
        read = "bytes" if is_of_bytes else "unit"
    if read and note.pixels not in {None, read}:
        raise InputError(f"{path} takes pixels as '{read}', the note beside it says '{note.pixels}'; correct the note")
    if found := read or note.pixels:
        return found
    choices = ", ".join(SCALINGS)
    raise InputError(
        f"{path} takes {dtype} and does not say how pixels are scaled; put {note_path(path).name} beside it with "
        f'{{"pixels": "imagenet"}}, or another of {choices}'
    )


def _scaling_inside(model: onnx.ModelProto, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64], bool]:
    """x * factor + shift, as the graph does to its input before its first layer, and whether it does anything."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            constants[node.output[0]] = node.attribute[0].t
    factor, shift, is_scaled = np.ones(1), np.zeros(1), False
    while True:
        users = [node for node in model.graph.node if name in node.input]
        if len(users) != 1:
            return factor, shift, is_scaled
        (node,) = users
        if node.op_type not in _PASSED_BY:
            others = [constants[other] for other in node.input if other in constants]
            if node.op_type not in {"Sub", "Add", "Mul", "Div"} or len(others) != 1 or node.input[0] != name:
                return factor, shift, is_scaled
            value = numpy_helper.to_array(others[0]).astype(np.float64).reshape(-1)
            is_scaled = True
            if node.op_type in {"Mul", "Div"}:
                by = value if node.op_type == "Mul" else 1.0 / value
                factor, shift = factor * by, shift * by
            else:
                shift = shift + (value if node.op_type == "Add" else -value)
        name = node.output[0]


def _precision(model: onnx.ModelProto) -> str:
    """What most of its numbers are stored as."""
    counts: Counter[str] = Counter()
    for tensor in model.graph.initializer:
        counts[_PRECISIONS.get(tensor.data_type, "fp32")] += int(np.prod(tensor.dims))
    return counts.most_common(1)[0][0] if counts else "fp32"
