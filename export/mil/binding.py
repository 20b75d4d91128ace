"""An operation's arguments made ready for its function: constants converted once, by the function's own annotations."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import Union, get_args, get_origin

import numpy as np
import torch
from torch import Tensor

from export.mil.operations import Function
from export.mil.program import Argument, Constant, Literal, Name, Operation

Source = Tensor | str  # a constant, or the name of a value


@dataclass(frozen=True)
class Bound:
    """Arguments that are known when the model loads, and those that are values or mixtures with values."""

    fixed: dict[str, object]
    values: dict[str, str]
    tuples: dict[str, tuple[Source, ...]]

    def names(self) -> set[str]:
        """The values that the operation needs."""
        inside = {one for sources in self.tuples.values() for one in sources if isinstance(one, str)}
        return set(self.values.values()) | inside

    def arguments(self, values: Mapping[str, Tensor]) -> dict[str, object]:
        """All arguments, given the values computed so far."""
        named = {parameter: values[name] for parameter, name in self.values.items()}
        tuples = {
            parameter: tuple(values[one] if isinstance(one, str) else one for one in sources)
            for parameter, sources in self.tuples.items()
        }
        return {**self.fixed, **named, **tuples}


def as_tensor(constant: Constant | Tensor) -> Tensor:
    """Float16 becomes float32, which holds it exactly: the evaluator computes in float32 and rounds."""
    if isinstance(constant, Tensor):
        return constant
    if isinstance(constant, str):
        raise ValueError(f"a tensor is needed, {constant!r} came")
    array = constant.astype(np.float32) if constant.dtype == np.float16 else constant.copy()
    return torch.from_numpy(array)


def bind(operation: Operation, function: Function, constants: Mapping[str, Constant | Tensor]) -> Bound:
    """Match arguments with the function's parameters.

    Raises:
        ValueError: a parameter that the function does not have, lacks, or needs as a constant and is a value.
    """
    parameters = _parameters(function)
    unknown = operation.arguments.keys() - parameters.keys()
    if unknown:
        raise ValueError(f"has parameters that are not evaluated: {', '.join(sorted(unknown))}")
    missing = {name for name, (_, required) in parameters.items() if required} - operation.arguments.keys()
    if missing:
        raise ValueError(f"lacks {', '.join(sorted(missing))}")
    fixed: dict[str, object] = {}
    values: dict[str, str] = {}
    tuples: dict[str, tuple[Source, ...]] = {}
    for name, argument in operation.arguments.items():
        kind, _ = parameters[name]
        sources = _sources(argument, constants)
        if kind == tuple[Tensor, ...]:
            tuples[name] = tuple(one.name if isinstance(one, Name) else as_tensor(one) for one in sources)
            continue
        if len(sources) != 1:
            raise ValueError(f"has {len(sources)} values for {name}, needed is one")
        source = sources[0]
        if not isinstance(source, Name):
            fixed[name] = _CONVERTERS[kind](source)
        elif kind is Tensor:
            values[name] = source.name
        else:
            raise ValueError(f"has a {name} that is computed at run time; export with fixed sizes")
    return Bound(fixed, values, tuples)


def _sources(argument: Argument, constants: Mapping[str, Constant | Tensor]) -> list[Constant | Tensor | Name]:
    sources: list[Constant | Tensor | Name] = []
    for one in argument:
        if isinstance(one, Literal):
            sources.append(one.value)
        else:
            sources.append(constants.get(one.name, one))
    return sources


def _text(constant: Constant | Tensor) -> str:
    if not isinstance(constant, str):
        raise ValueError("a text is needed, numbers came")
    return constant


_CONVERTERS: dict[object, Callable[[Constant | Tensor], object]] = {
    Tensor: as_tensor,
    str: _text,
    int: lambda constant: int(as_tensor(constant).item()),
    float: lambda constant: float(as_tensor(constant).item()),
    bool: lambda constant: bool(as_tensor(constant).item()),
    tuple[int, ...]: lambda constant: tuple(as_tensor(constant).tolist()),
    tuple[bool, ...]: lambda constant: tuple(as_tensor(constant).tolist()),
}


@cache
def _parameters(function: Function) -> dict[str, tuple[object, bool]]:
    """Parameter -> its annotation, `| None` taken off, and whether it has to be given."""
    found = {}
    for name, parameter in inspect.signature(function, eval_str=True).parameters.items():
        kind = parameter.annotation
        if get_origin(kind) in (Union, UnionType):
            (kind,) = (one for one in get_args(kind) if one is not type(None))
        found[name] = (kind, parameter.default is inspect.Parameter.empty)
    return found
