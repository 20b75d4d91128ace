"""LiteRT (TFLite) with its XNNPACK delegate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

PACKAGE = "ai-edge-litert"


class LiteRtSession:
    def __init__(self, interpreter: Interpreter) -> None:
        self._interpreter = interpreter
        self._input_index = interpreter.get_input_details()[0]["index"]
        self._output_index = interpreter.get_output_details()[0]["index"]

    def feed(self, pixels: NDArray[np.uint8]) -> None:
        self._interpreter.set_tensor(self._input_index, pixels[None].astype(np.float32))

    def invoke(self) -> None:
        self._interpreter.invoke()

    def read(self) -> NDArray[np.float32]:
        return np.array(self._interpreter.get_tensor(self._output_index)[0], dtype=np.float32)


def load(path: Path, num_threads: int) -> LiteRtSession:
    """Open a model with `num_threads` threads."""
    interpreter = Interpreter(model_path=str(path), num_threads=num_threads)
    interpreter.allocate_tensors()
    return LiteRtSession(interpreter)
