"""The reference evaluator with the interface of `export/runtimes`: parity and the bench run it like a runtime.

Unlike those files it imports this project, so it runs on the host only. Its times say nothing about Core ML.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from export.mil.evaluate import Evaluator
from export.mil.package import read_package
from icd_mobile.errors import InputError

PACKAGE = "icd-mobile"


class ReferenceSession:
    """One RGB image in, one descriptor out."""

    def __init__(self, evaluator: Evaluator, input_name: str, output_name: str) -> None:
        self._evaluator = evaluator
        self._input_name = input_name
        self._output_name = output_name
        self._input = torch.empty(0)
        self._output = torch.empty(0)

    def feed(self, pixels: NDArray[np.uint8]) -> None:
        channel_first = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], dtype=np.float32)
        self._input = torch.from_numpy(channel_first)

    def invoke(self) -> None:
        self._output = self._evaluator({self._input_name: self._input})[self._output_name]

    def read(self) -> NDArray[np.float32]:
        output: Tensor = self._output[0]
        return np.array(output.numpy(), dtype=np.float32)


def load(path: Path, num_threads: int) -> ReferenceSession:
    """Open an .mlpackage of one RGB image input and one output; the thread count is process-wide in PyTorch.

    Raises:
        InputError: not such a package.
        OutsideError: it has an operation that is not evaluated.
    """
    torch.set_num_threads(num_threads)
    package = read_package(path)
    inputs, outputs = [one.name for one in package.program.inputs], package.program.outputs
    if len(outputs) != 1 or list(package.image_inputs) != inputs or len(inputs) != 1:
        raise InputError(f"needed one RGB image in and one output, {path} has {inputs} in and {list(outputs)} out")
    return ReferenceSession(Evaluator(package.program), inputs[0], outputs[0])
