"""TorchScript through libtorch's own interpreter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

PACKAGE = "torch"


class TorchScriptSession:
    def __init__(self, module: torch.jit.ScriptModule) -> None:
        self._module = module
        self._input = torch.empty(0)
        self._output = torch.empty(0)

    def feed(self, pixels: NDArray[np.uint8]) -> None:
        channel_first = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], dtype=np.float32)
        self._input = torch.from_numpy(channel_first)

    def invoke(self) -> None:
        with torch.inference_mode():
            self._output = self._module(self._input)

    def read(self) -> NDArray[np.float32]:
        return np.array(self._output[0].numpy(), dtype=np.float32)


def exact_int8_engine() -> str:
    """The int8 kernels that add up without saturating.

    FBGEMM, the default on x86, saturates int16 in its depthwise kernels. Without the VNNI instructions oneDNN does so
    in all of them, and QNNPACK does not.
    """
    return "onednn" if torch.cpu._is_vnni_supported() else "qnnpack"


def load(path: Path, num_threads: int) -> TorchScriptSession:
    """Open a module; the thread count is process-wide in PyTorch."""
    torch.set_num_threads(num_threads)
    engine = exact_int8_engine()
    if engine in torch.backends.quantized.supported_engines:
        torch.backends.quantized.engine = engine
    return TorchScriptSession(torch.jit.load(str(path), map_location="cpu").eval())
