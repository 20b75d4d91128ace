"""Runs an ML Program operation by operation, in PyTorch.

Every operation is computed in float32. A value that the program declares float16 is rounded to float16 before anything
reads it, so a float16 program is evaluated with one rounding after each operation; integers are integers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from export.mil.binding import Bound, as_tensor, bind
from export.mil.operations import OPERATIONS, Function
from export.mil.program import Constant, Name, Named, Operation, Program
from icd_mobile.errors import InputError, OutsideError

_TORCH_DTYPES = {
    "float16": torch.float32,  # rounded
    "float32": torch.float32,
    "bool": torch.bool,
    "int8": torch.int8,
    "uint8": torch.uint8,
    "int16": torch.int16,
    "int32": torch.int32,
}


@dataclass(frozen=True)
class _Step:
    operation: Operation
    function: Function
    bound: Bound
    released: tuple[str, ...]  # values that nothing after this step reads


class Evaluator:
    """A program with its constants in memory."""

    def __init__(self, program: Program) -> None:
        """Convert the constants, dequantise the weights, and look every operation up.

        Raises:
            OutsideError: the program has an operation, or a form of one, that is not evaluated.
            InputError: the program is damaged.
        """
        unknown = {one.kind for one in program.operations} - OPERATIONS.keys() - {"const"}
        if unknown:
            raise OutsideError(
                f"the reference evaluator does not know {', '.join(sorted(unknown))}; "
                "add what is missing to export/mil/operations.py"
            )
        self._program = program
        self._constants: dict[str, Constant | Tensor] = {}
        computed = [one for one in program.operations if not self._is_constant(one)]
        last_use = _last_use(computed, program.outputs)
        self._steps = [
            _Step(
                one,
                OPERATIONS[one.kind],
                self._bind(one),
                tuple(sorted(name for name, index in last_use.items() if index == position)),
            )
            for position, one in enumerate(computed)
        ]

    def _is_constant(self, operation: Operation) -> bool:
        """Keep the value of a constant, computed where it is packed."""
        if operation.kind == "const":
            (literal,) = operation.arguments["val"]
            if isinstance(literal, Name):
                raise InputError(f"const {operation.name!r} is no constant; the program is damaged")
            self._constants[operation.outputs[0].name] = literal.value
        elif operation.kind.startswith("constexpr_"):
            step = _Step(operation, OPERATIONS[operation.kind], self._bind(operation), ())
            self._constants |= _run(step, {})
        else:
            return False
        return True

    def _bind(self, operation: Operation) -> Bound:
        try:
            return bind(operation, OPERATIONS[operation.kind], self._constants)
        except ValueError as error:
            raise OutsideError(f"the reference evaluator: {operation.kind} {operation.name!r} {error}") from error

    def __call__(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Inputs by name -> outputs by name.

        Raises:
            InputError: an input is missing or of another shape, or an operation cannot be computed.
        """
        values: dict[str, Tensor] = {}
        for named in self._program.inputs:
            if named.name not in inputs:
                raise InputError(f"needed an input {named.name!r}, got {', '.join(inputs) or 'none'}")
            values[named.name] = _declared(named, inputs[named.name])
        with torch.inference_mode():
            for step in self._steps:
                values |= _run(step, values)
                for name in step.released:
                    values.pop(name, None)
        return {
            name: as_tensor(self._constants[name]) if name in self._constants else values[name]
            for name in self._program.outputs
        }


def _last_use(operations: Sequence[Operation], outputs: Sequence[str]) -> dict[str, int]:
    """Value -> the place of the last operation that reads it, or makes it where none does; outputs are kept."""
    last: dict[str, int] = {}
    for place, operation in enumerate(operations):
        last |= {output.name: place for output in operation.outputs}
        for argument in operation.arguments.values():
            last |= {one.name: place for one in argument if isinstance(one, Name)}
    return {name: place for name, place in last.items() if name not in outputs}


def _run(step: _Step, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    operation = step.operation
    try:
        result = step.function(**step.bound.arguments(values))
        results = (result,) if isinstance(result, Tensor) else result
        return {named.name: _declared(named, value) for named, value in zip(operation.outputs, results, strict=True)}
    except (InputError, ValueError, RuntimeError, IndexError, KeyError) as error:
        first_line = str(error).splitlines()[0]
        raise InputError(f"{operation.kind} {operation.name!r} cannot be evaluated: {first_line[:200]}") from error


def _declared(named: Named, value: Tensor) -> Tensor:
    """The value as the program declares it: its type, and its shape checked."""
    dtype, shape = named.type.dtype, named.type.shape
    if tuple(value.shape) != shape or value.dtype != _TORCH_DTYPES.get(dtype):
        raise InputError(
            f"{named.name!r} is declared {dtype} {shape}, but is {str(value.dtype).removeprefix('torch.')} "
            f"{tuple(value.shape)}"
        )
    return value.half().float() if dtype == "float16" else value
