"""Tiny ML Programs built with coremltools, saved, read back by the evaluator, and run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import timm  # noqa: F401 (before coremltools, which crashes otherwise; see export/targets/coreml.py)

# isort: split
import coremltools as ct
import torch
from coremltools.converters.mil import Builder as mb  # noqa: N813 (coremltools' own name for it)
from coremltools.converters.mil.mil import Function, Program

from export.mil.evaluate import Evaluator
from export.mil.package import read_package

Build = Callable[..., object]  # the program's inputs -> its output
Operations = Mapping[str, tuple[Build, tuple[np.ndarray, ...]]]  # name -> what builds it, and its inputs
SaveProgram = Callable[..., Path]


@pytest.fixture(scope="session")
def save_program(tmp_path_factory: pytest.TempPathFactory) -> SaveProgram:
    """`operations` side by side in one saved program, with one output for each, as they are: no pass rewrites them."""

    def save(operations: Operations, target: ct.target = ct.target.iOS17) -> Path:
        arrays = [array for _, arrays in operations.values() for array in arrays]
        specs = {f"input{index}": mb.TensorSpec(shape=array.shape) for index, array in enumerate(arrays)}
        with Function(specs, target) as function:
            unused, outputs = iter(function.inputs.values()), []
            for build, its_arrays in operations.values():
                outputs.append(mb.identity(x=build(*islice(unused, len(its_arrays)))))
            function.set_outputs(outputs)
        program = Program()
        program.add_function("main", function)
        model = ct.convert(
            program,
            convert_to="mlprogram",
            compute_precision=ct.precision.FLOAT32,
            minimum_deployment_target=target,
            pass_pipeline=ct.PassPipeline.EMPTY,
            skip_model_load=True,
        )
        path = tmp_path_factory.mktemp("program") / "model.mlpackage"
        model.save(str(path))
        return path

    return save


@pytest.fixture(scope="session")
def evaluate_operations(save_program: SaveProgram) -> Callable[..., dict[str, np.ndarray]]:
    """name -> what the evaluator computes for that operation."""

    def evaluate(operations: Operations, target: ct.target = ct.target.iOS17) -> dict[str, np.ndarray]:
        program = read_package(save_program(operations, target)).program
        arrays = [array for _, arrays in operations.values() for array in arrays]
        inputs = {named.name: torch.from_numpy(array) for named, array in zip(program.inputs, arrays, strict=True)}
        outputs = Evaluator(program)(inputs)
        return {name: outputs[output].numpy() for name, output in zip(operations, program.outputs, strict=True)}

    return evaluate
