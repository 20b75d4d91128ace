"""ONNX Runtime on the CPU execution provider."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

PACKAGE = "onnxruntime"


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


def has_vnni(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """AVX512-VNNI, as Linux lists it. False where nothing is listed: that costs time, not accuracy."""
    try:
        flags = re.search(r"^flags\s*:(.*)$", cpuinfo.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    except OSError:
        return False
    return flags is not None and "avx512_vnni" in flags[1].split()


def exact_int8_options() -> ort.SessionOptions:
    """For kernels that do not saturate int16: on x86 without VNNI they must be told, elsewhere that only costs time."""
    options = ort.SessionOptions()
    if not has_vnni():
        options.add_session_config_entry("session.x64quantprecision", "1")
    return options


def load(path: Path, num_threads: int) -> OnnxRuntimeSession:
    """Open a model with `num_threads` intra-op threads."""
    options = exact_int8_options()
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return OnnxRuntimeSession(ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]))
