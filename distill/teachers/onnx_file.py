"""A teacher published as an ONNX graph, run by ONNX Runtime.

Pixels go in as the graph declares them: (N, 3, S, S) or (N, S, S, 3), float32 normalised outside, or uint8 with the
normalisation inside. Source of the first form: facebookresearch/dino, issue 14, whose graphs take (B, 3, 224, 224) and
give (B, C), the class token alone.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from distill.teachers.teacher import IMAGENET_MEAN, IMAGENET_STD, Network
from icd_mobile.errors import InputError

INPUT_SIZE_PX = 224
_FLOAT, _BYTES = "tensor(float)", "tensor(uint8)"


class OnnxFeatures(nn.Module):
    """(N, 3, S, S) -> (N, D) by the graph's first input and output, one image at a time where its batch is fixed."""

    def __init__(self, session: onnxruntime.InferenceSession, *, is_channel_last: bool, takes_bytes: bool) -> None:
        super().__init__()
        self._session = session
        self._input_name = session.get_inputs()[0].name
        self._is_one_by_one = session.get_inputs()[0].shape[0] == 1
        self._is_channel_last, self._takes_bytes = is_channel_last, takes_bytes

    def forward(self, images: Tensor) -> Tensor:
        if self._is_channel_last:
            images = images.permute(0, 2, 3, 1)
        if self._takes_bytes:
            images = (images * 255.0).round().clamp(0, 255).to(torch.uint8)
        array = np.ascontiguousarray(images.cpu().numpy())
        batches = np.split(array, len(array)) if self._is_one_by_one else [array]
        outputs = [self._session.run(None, {self._input_name: batch})[0] for batch in batches]
        return torch.from_numpy(np.concatenate(outputs)).to(images.device)


def build_onnx(path: Path, input_size_px: int | None = None) -> Network:
    """Open a graph with one image input; where its height and width are free, at `input_size_px` or 224 px.

    Raises:
        InputError: unreadable, of other inputs or outputs, or made for another size.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own kinds share no base class
        raise InputError(f"{path} is not a readable ONNX file ({str(error).splitlines()[0]}); copy it again") from error
    inputs = session.get_inputs()
    shape, kind = inputs[0].shape, inputs[0].type
    is_channel_last = len(shape) == 4 and shape[3] == 3
    if len(inputs) != 1 or len(shape) != 4 or not (is_channel_last or shape[1] == 3) or kind not in {_FLOAT, _BYTES}:
        given = [f"{node.shape} of {node.type}" for node in inputs]
        raise InputError(
            f"{path} needs one image input, (N, 3, S, S) or (N, S, S, 3) of float32 or uint8; it has {', '.join(given)}"
        )
    side = shape[1] if is_channel_last else shape[2]
    size_px = side if isinstance(side, int) else (input_size_px or INPUT_SIZE_PX)
    if input_size_px not in {None, size_px}:
        raise InputError(f"{path} was exported for {size_px} px, not {input_size_px}")
    features = OnnxFeatures(session, is_channel_last=is_channel_last, takes_bytes=kind == _BYTES).eval()
    described = features(torch.zeros(1, 3, size_px, size_px))
    if described.ndim != 2:
        raise InputError(f"{path} needs a first output (N, D), it gives {tuple(described.shape)}")
    # A graph of bytes has mean and std inside.
    mean, std = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)) if kind == _BYTES else (IMAGENET_MEAN, IMAGENET_STD)
    return Network(features, described.shape[1], size_px, mean, std)
