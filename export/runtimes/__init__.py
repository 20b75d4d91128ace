"""One small file for each runtime that can run an artifact, all with the same `load(path, num_threads) -> Session`.

The files import nothing of this project, only numpy and their runtime, so that a device with Python and one runtime
installed can be sent a single file and run it. A session is fed pixels, invoked, and read, each step apart, because
a benchmark times `invoke` alone.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Session(Protocol):
    """A loaded artifact. Calls go feed, invoke, read."""

    def feed(self, pixels: NDArray[np.uint8]) -> None:
        """Take one image, (S, S, 3) RGB 0..255, in whatever layout and type the artifact wants."""

    def invoke(self) -> None:
        """Run the graph once."""

    def read(self) -> NDArray[np.float32]:
        """The descriptor (D,) of the last `invoke`, a copy."""


# target -> (module in this folder, the package to install where it is missing)
RUNTIMES: dict[str, tuple[str, str]] = {
    "torchscript": ("torchscript", "torch"),
    "onnx": ("onnxruntime", "onnxruntime"),
    "coreml": ("coreml", "coremltools"),
    "tflite": ("litert", "ai-edge-litert"),
    "executorch": ("executorch", "executorch"),
}

# target -> the module of this project that computes what its artifacts give, where their runtime is not to be had.
REFERENCES: dict[str, str] = {"coreml": "export.mil.session"}

# Why a target's artifacts are not run on this computer.
NO_RUNTIME: dict[str, str] = {} if sys.platform == "darwin" else {"coreml": "Core ML runs on Apple systems only"}


def why_no_runtime(target: str) -> str:
    """The reason that stands where a figure would; "" where the target has a runtime here."""
    return NO_RUNTIME.get(target, "" if target in RUNTIMES else f"no runtime for '{target}' here")
