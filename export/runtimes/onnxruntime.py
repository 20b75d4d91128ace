"""ONNX Runtime on the CPU execution provider."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

PACKAGE = "onnxruntime"
# On x86 without the VNNI instructions the int8 kernels saturate int16, unless they are told to be precise.
EXACT_INT8 = ("session.x64quantprecision", "1")


class OnnxRuntimeSession:
    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session
        self._input_name = session.get_inputs()[0].name
        self._feeds: dict[str, NDArray[np.float32]] = {}
        self._outputs: list[NDArray[np.float32]] = []

    def feed(self, pixels: NDArray[np.uint8]) -> None:
        channel_first = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], dtype=np.float32)
        self._feeds = {self._input_name: channel_first}

    def invoke(self) -> None:
        self._outputs = self._session.run(None, self._feeds)

    def read(self) -> NDArray[np.float32]:
        return np.array(self._outputs[0][0], dtype=np.float32)


def load(path: Path, num_threads: int) -> OnnxRuntimeSession:
    """Open a model with `num_threads` intra-op threads."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry(*EXACT_INT8)
    return OnnxRuntimeSession(ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]))
