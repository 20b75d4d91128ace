"""Core ML through coremltools' `predict`, on macOS only; Core ML chooses its threads and compute units itself."""

from __future__ import annotations

from pathlib import Path

import coremltools as ct
import numpy as np
from numpy.typing import NDArray
from PIL import Image

PACKAGE = "coremltools"
ACCELERATOR = "all Core ML compute units"


class CoreMlSession:
    def __init__(self, model: ct.models.MLModel) -> None:
        description = model.get_spec().description
        self._model = model
        self._input_name = description.input[0].name
        self._output_name = description.output[0].name
        self._feeds: dict[str, Image.Image] = {}
        self._outputs: dict[str, NDArray[np.float32]] = {}

    def feed(self, pixels: NDArray[np.uint8]) -> None:
        self._feeds = {self._input_name: Image.fromarray(pixels)}

    def invoke(self) -> None:
        self._outputs = self._model.predict(self._feeds)

    def read(self) -> NDArray[np.float32]:
        return np.array(self._outputs[self._output_name][0], dtype=np.float32)


def load(path: Path, num_threads: int) -> CoreMlSession:  # noqa: ARG001 (the interface's; Core ML takes no number)
    """Compile and open an .mlpackage."""
    return CoreMlSession(ct.models.MLModel(str(path), compute_units=ct.ComputeUnit.ALL))
