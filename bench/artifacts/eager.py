"""PyTorch eager as a runtime: the baseline and the teacher that artifacts are compared with.

Same `load(path, num_threads) -> Session` as the files in `export/runtimes`, so that the same worker measures it. Unlike
them it imports this project, to rebuild a student or open a teacher, so it runs on the host only; on the GPU when there
is one. On a CPU the memory that PyTorch frees stays with the process, as in this project's trainings;
`ICD_MOBILE_ALLOCATOR=system` measures PyTorch as it comes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distill.students.checkpoint import load_checkpoint
from distill.teachers import open_teacher
from icd_mobile.allocator import keep_freed_memory

PACKAGE = "torch"
_DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
ACCELERATOR = torch.cuda.get_device_name() if _DEVICE.type == "cuda" else "cpu"


class EagerSession:
    """A network on `_DEVICE`, with the scaling that artifacts carry inside their graph."""

    def __init__(self, describe: Callable[[Tensor], Tensor], mean: Sequence[float], std: Sequence[float]) -> None:
        self._describe = describe
        self._mean = torch.tensor(mean, device=_DEVICE).view(1, 3, 1, 1)
        self._std = torch.tensor(std, device=_DEVICE).view(1, 3, 1, 1)
        self._input = torch.empty(0)
        self._output = torch.empty(0)

    def feed(self, pixels: NDArray[np.uint8]) -> None:
        channel_first = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], dtype=np.float32)
        self._input = torch.from_numpy(channel_first).to(_DEVICE)

    def invoke(self) -> None:
        with torch.inference_mode():
            self._output = self._describe((self._input / 255.0 - self._mean) / self._std)
        if _DEVICE.type == "cuda":
            torch.cuda.synchronize()

    def read(self) -> NDArray[np.float32]:
        return np.array(self._output[0].cpu().numpy(), dtype=np.float32)


def load(path: Path, num_threads: int) -> EagerSession:
    """Open a student checkpoint, or the teacher that a JSON file names; the thread count is process-wide in PyTorch."""
    keep_freed_memory()
    torch.set_num_threads(num_threads)
    if path.suffix == ".json":
        teacher = open_teacher(json.loads(path.read_text(encoding="utf-8"))["teacher"]).to(_DEVICE)
        return EagerSession(teacher.describe, teacher.mean, teacher.std)
    checkpoint = load_checkpoint(path)
    return EagerSession(checkpoint.model.to(_DEVICE), checkpoint.card.mean, checkpoint.card.std)
