"""A teacher published as an ONNX graph, run by ONNX Runtime.

Source: facebookresearch/dino, issue 14: its graphs take (B, 3, 224, 224) and give (B, C), the class token alone.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from distill.teachers.teacher import Network
from icd_mobile.errors import InputError

INPUT_SIZE_PX = 224


class OnnxFeatures(nn.Module):
    """(N, 3, S, S) -> (N, D) by the graph's first input and output, one image at a time where its batch is fixed."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        super().__init__()
        self._session = session
        self._input_name = session.get_inputs()[0].name
        self._is_one_by_one = session.get_inputs()[0].shape[0] == 1

    def forward(self, images: Tensor) -> Tensor:
        array = images.cpu().numpy().astype(np.float32)
        batches = np.split(array, len(array)) if self._is_one_by_one else [array]
        outputs = [self._session.run(None, {self._input_name: batch})[0] for batch in batches]
        return torch.from_numpy(np.concatenate(outputs)).to(images.device)


def build_onnx(path: Path, input_size_px: int | None = None) -> Network:
    """Open a graph with one image input.

    Raises:
        InputError: unreadable, of other inputs or outputs, or made for another size.
    """
    try:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own kinds share no base class
        raise InputError(f"{path} is not a readable ONNX file ({str(error).splitlines()[0]}); copy it again") from error
    shape = session.get_inputs()[0].shape
    if len(session.get_inputs()) != 1 or len(shape) != 4 or shape[1] != 3:
        raise InputError(f"{path} needs one input (N, 3, S, S), it has {[node.shape for node in session.get_inputs()]}")
    fixed_px = shape[2] if isinstance(shape[2], int) else INPUT_SIZE_PX
    if input_size_px not in {None, fixed_px}:
        raise InputError(f"{path} was exported for {fixed_px} px, not {input_size_px}")
    features = OnnxFeatures(session).eval()
    described = features(torch.zeros(1, 3, fixed_px, fixed_px))
    if described.ndim != 2:
        raise InputError(f"{path} needs a first output (N, D), it gives {tuple(described.shape)}")
    return Network(features, described.shape[1], fixed_px)
