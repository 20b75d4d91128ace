"""ONNX graphs that take pictures as bytes, (N, S, S, 3) uint8 RGB, and scale them inside; run by ONNX Runtime.

SSCD in int8 and the students that others made of it come so. They are run as they are.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from export.runtimes.onnxruntime import exact_int8_options
from icd_mobile.errors import InputError


class ByteGraph:
    """The graph's session, on one thread, fed as `export.runtimes` are."""

    def __init__(self, path: Path) -> None:
        """Raises:
        InputError: not ONNX, or a graph of another contract.
        """
        options = exact_int8_options()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own kinds share no base class
            raise InputError(f"{path} is not a readable ONNX file; copy it again, or give another") from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        shape = inputs[0].shape if len(inputs) == 1 else []
        if len(outputs) != 1 or len(shape) != 4 or shape[3] != 3 or inputs[0].type != "tensor(uint8)":
            found = ", ".join(f"{value.name} {value.type} {value.shape}" for value in inputs)
            raise InputError(
                f"{path} needs one input of bytes, uint8 (N, S, S, 3), and one output (N, D); it has {found} and "
                f"{len(outputs)} outputs"
            )
        self._input_name = inputs[0].name
        self._pixels: NDArray[np.uint8] = np.empty(0, np.uint8)
        self._output: NDArray[np.float32] = np.empty(0, np.float32)

    def feed(self, pixels: NDArray[np.uint8]) -> None:
        self._pixels = np.ascontiguousarray(pixels[None])

    def invoke(self) -> None:
        self._output = self._session.run(None, {self._input_name: self._pixels})[0]

    def read(self) -> NDArray[np.float32]:
        return np.array(self._output[0], dtype=np.float32)
