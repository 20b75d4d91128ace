"""An ML Program as plain data: its operations in order, with every constant read.

Field numbers are those of MIL.proto and Model.proto of github.com/apple/coremltools.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.mil import wire
from export.mil.wire import Fields

# (file name, offset, numpy dtype, shape) -> a constant that lies in a weight file
ReadBlob = Callable[[str, int, str, tuple[int, ...]], NDArray[np.generic]]
Constant = NDArray[np.generic] | str
STRING = "string"
_DTYPES = {
    1: "bool",
    2: STRING,
    10: "float16",
    11: "float32",
    12: "float64",
    21: "int8",
    22: "int16",
    23: "int32",
    24: "int64",
    31: "uint8",
    32: "uint16",
    33: "uint32",
    34: "uint64",
}


@dataclass(frozen=True)
class TensorType:
    """Element type, as numpy names it or "string", and shape; () is a scalar."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Named:
    """An input of the program or a value that an operation gives."""

    name: str
    type: TensorType


@dataclass(frozen=True)
class Name:
    """An argument that is another operation's value."""

    name: str


@dataclass(frozen=True)
class Literal:
    """An argument that is a constant."""

    value: Constant


Argument = tuple[Name | Literal, ...]  # one binding; several where the parameter is a tuple, as concat's is


@dataclass(frozen=True)
class Operation:
    """One operation: its arguments by parameter name, attributes such as `val` of a const among them."""

    kind: str
    name: str
    arguments: dict[str, Argument]
    outputs: tuple[Named, ...]


@dataclass(frozen=True)
class Program:
    """The function `main`, in the block of its operation set."""

    opset: str
    inputs: tuple[Named, ...]
    operations: tuple[Operation, ...]
    outputs: tuple[str, ...]


def read_program(fields: Fields, read_blob: ReadBlob) -> Program:
    """A `MILSpec.Program` message.

    Raises:
        ValueError: what is not in order, or of a kind that the evaluator has no use for.
    """
    functions = wire.entries(fields, 2)
    if "main" not in functions:
        raise ValueError(f"needed a function 'main', the program has {list(functions)}")
    main = functions["main"]
    opset = wire.text(main, 2)
    blocks = wire.entries(main, 3)
    if opset not in blocks:
        raise ValueError(f"the program has no block for its own operation set {opset!r}")
    block = blocks[opset]
    return Program(
        opset,
        tuple(_named(one) for one in wire.messages(main, 1)),
        tuple(_operation(one, read_blob) for one in wire.messages(block, 3)),
        tuple(name.decode() for name in wire.contents(block, 2)),
    )


def _operation(fields: Fields, read_blob: ReadBlob) -> Operation:
    kind = wire.text(fields, 1)
    if not kind.isidentifier():
        raise ValueError(f"{kind[:40]!r} is no operation")
    attributes = wire.entries(fields, 5)
    name = _value(attributes.pop("name"), read_blob) if "name" in attributes else ""
    if wire.messages(fields, 4):
        raise ValueError(f"{kind!r} has blocks inside: control flow is not evaluated")
    arguments: dict[str, Argument] = {key: (Literal(_value(one, read_blob)),) for key, one in attributes.items()}
    for key, argument in wire.entries(fields, 2).items():
        arguments[key] = tuple(_binding(one, read_blob) for one in wire.messages(argument, 1))
    return Operation(kind, str(name), arguments, tuple(_named(one) for one in wire.messages(fields, 3)))


def _binding(fields: Fields, read_blob: ReadBlob) -> Name | Literal:
    return Name(wire.text(fields, 1)) if 1 in fields else Literal(_value(wire.message(fields, 2), read_blob))


def _named(fields: Fields) -> Named:
    name = wire.text(fields, 1)
    return Named(name, _tensor_type(wire.message(fields, 2), name))


def _tensor_type(fields: Fields, of: str) -> TensorType:
    if 1 not in fields:
        raise ValueError(f"{of!r} is no tensor: lists, dictionaries and states are not evaluated")
    tensor = wire.message(fields, 1)
    code = wire.integer(tensor, 1)
    if code not in _DTYPES:
        raise ValueError(f"{of!r} has data type {code}, which the evaluator does not know")
    sizes = []
    for dimension in wire.messages(tensor, 3):
        if 1 not in dimension:
            raise ValueError(f"{of!r} has a size that is only known at run time; export with fixed sizes")
        sizes.append(wire.integer(wire.message(dimension, 1), 1))
    return TensorType(_DTYPES[code], tuple(sizes))


def _value(fields: Fields, read_blob: ReadBlob) -> Constant:
    kind = _tensor_type(wire.message(fields, 2), "a constant")
    if 5 in fields:
        blob = wire.message(fields, 5)
        return read_blob(wire.text(blob, 1), wire.integer(blob, 2), kind.dtype, kind.shape)
    return _immediate(wire.message(wire.message(fields, 3), 1), kind)


def _immediate(tensor: Fields, kind: TensorType) -> Constant:
    """A constant that stands in the program itself: a `TensorValue`."""
    if 4 in tensor:
        strings = wire.contents(wire.message(tensor, 4), 1)
        if kind.shape or len(strings) != 1:
            raise ValueError("a constant of several strings is not evaluated")
        return strings[0].decode()
    if kind.dtype == STRING:
        raise ValueError("a constant is declared a string and is none")
    if 7 in tensor:
        packed = wire.content(wire.message(tensor, 7), 1)
        return np.frombuffer(packed, dtype=np.dtype(kind.dtype).newbyteorder("<")).reshape(kind.shape)
    numbers: list[int] | list[float] = []
    for number in (2, 3, 5):  # int32, bool, int64
        if number in tensor:
            numbers = wire.integers(wire.message(tensor, number), 1)
    for number, code in ((1, "f"), (6, "d")):
        if number in tensor:
            numbers = wire.floats(wire.message(tensor, number), 1, code)
    return np.array(numbers, dtype=kind.dtype).reshape(kind.shape)
