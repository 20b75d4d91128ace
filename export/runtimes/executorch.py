"""ExecuTorch through its Python bindings, with the XNNPACK backend."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool
from executorch.runtime import Method, Runtime
from numpy.typing import NDArray

PACKAGE = "executorch"


class ExecuTorchSession:
    def __init__(self, method: Method) -> None:
        self._method = method
        self._input = torch.empty(0)
        self._output = torch.empty(0)

    def feed(self, pixels: NDArray[np.uint8]) -> None:
        channel_first = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], dtype=np.float32)
        self._input = torch.from_numpy(channel_first)

    def invoke(self) -> None:
        self._output = self._method.execute([self._input])[0]

    def read(self) -> NDArray[np.float32]:
        return np.array(self._output[0].numpy(), dtype=np.float32)


def load(path: Path, num_threads: int) -> ExecuTorchSession:
    """Open a program's `forward`; the thread pool is process-wide in ExecuTorch."""
    _unsafe_reset_threadpool(num_threads)
    program = Runtime.get().load_program(path)
    return ExecuTorchSession(program.load_method("forward"))
