"""Protobuf's wire format, as far as a Core ML specification uses it.

Written out so that a package is read without coremltools, which takes seconds to import and crashes in the wrong order
with other packages. Source: https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import struct

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
Fields = dict[int, list[int | bytes]]  # field number -> its values in the order they came; fixed-width ones as bytes


def parse(data: bytes) -> Fields:
    """One message, its fields not yet interpreted.

    Raises:
        ValueError: the bytes end inside a field, or are no message.
    """
    fields: Fields = {}
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise ValueError(f"field number 0 at byte {position}")
        value: int | bytes
        if kind == _VARINT:
            value, position = _varint(data, position)
        elif kind in (_FIXED64, _FIXED32):
            value, position = _bytes(data, position, 8 if kind == _FIXED64 else 4)
        elif kind == _LENGTH:
            length, position = _varint(data, position)
            value, position = _bytes(data, position, length)
        else:
            raise ValueError(f"wire type {kind} at byte {position}")
        fields.setdefault(number, []).append(value)
    return fields


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            raise ValueError("the data end inside a number")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (2**64 - 1), position
    raise ValueError(f"a number of more than 64 bits at byte {position}")


def _bytes(data: bytes, position: int, length: int) -> tuple[bytes, int]:
    end = position + length
    if end > len(data):
        raise ValueError(f"the data end inside a field: {length} bytes are announced, {len(data) - position} are there")
    return data[position:end], end


def integer(fields: Fields, number: int) -> int:
    """The last value of a singular integer, enum or bool field; 0 where it is absent, which is protobuf's default."""
    value = fields.get(number, [0])[-1]
    if not isinstance(value, int):
        raise ValueError(f"field {number} is no integer")
    return value


def content(fields: Fields, number: int) -> bytes:
    """The last value of a singular bytes field or message; empty where it is absent."""
    value = fields.get(number, [b""])[-1]
    if not isinstance(value, bytes):
        raise ValueError(f"field {number} is no bytes")
    return value


def text(fields: Fields, number: int) -> str:
    """The last value of a singular string field; empty where it is absent."""
    return content(fields, number).decode()


def message(fields: Fields, number: int) -> Fields:
    """A singular message; without fields where it is absent."""
    return parse(content(fields, number))


def messages(fields: Fields, number: int) -> list[Fields]:
    """A repeated message."""
    return [parse(value) for value in contents(fields, number)]


def contents(fields: Fields, number: int) -> list[bytes]:
    """A repeated bytes, string or message field."""
    values = fields.get(number, [])
    if not all(isinstance(value, bytes) for value in values):
        raise ValueError(f"field {number} is no bytes")
    return [value for value in values if isinstance(value, bytes)]


def entries(fields: Fields, number: int) -> dict[str, Fields]:
    """A map from strings to messages: protobuf writes it as repeated (1: key, 2: value)."""
    return {text(entry, 1): message(entry, 2) for entry in messages(fields, number)}


def integers(fields: Fields, number: int) -> list[int]:
    """A repeated int32, int64, bool or enum field, packed or not; negative ones are 64-bit two's complement."""
    unsigned: list[int] = []
    for value in fields.get(number, []):
        if isinstance(value, int):
            unsigned.append(value)
            continue
        position = 0
        while position < len(value):
            one, position = _varint(value, position)
            unsigned.append(one)
    return [value - 2**64 if value >= 2**63 else value for value in unsigned]


def floats(fields: Fields, number: int, code: str) -> list[float]:
    """A repeated float (`code` "f") or double ("d") field, packed or not."""
    joined = b"".join(contents(fields, number))
    size = struct.calcsize(code)
    if len(joined) % size:
        raise ValueError(f"field {number} ends inside a number")
    return list(struct.unpack(f"<{len(joined) // size}{code}", joined))
