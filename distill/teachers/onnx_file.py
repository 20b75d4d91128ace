"""A teacher published as an ONNX graph, run by ONNX Runtime on the CPU.

What it takes is its contract (`onnx_contract.py`). Source of the first graphs: facebookresearch/dino, issue 14, which
take (B, 3, 224, 224) and give (B, C), the class token alone.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from distill.teachers.onnx_contract import Contract, Note, read_contract
from distill.teachers.teacher import Network
from icd_mobile.errors import InputError

_CLASS_COUNTS = frozenset({1000, 1001, 21_841, 21_843})  # of ImageNet, with and without a background


class OnnxFeatures(nn.Module):
    """(N, 3, S, S) -> (N, D) by the graph's one input and output, as many pictures at once as it takes."""

    def __init__(self, path: Path, contract: Contract, num_threads: int) -> None:
        super().__init__()
        self._path, self._contract, self._num_threads = path, contract, num_threads
        self._session = _open_session(path, num_threads)
        self._input_name = self._session.get_inputs()[0].name

    def __reduce__(self) -> tuple[Callable[..., OnnxFeatures], tuple[Path, Contract, int]]:
        """A session does not travel to another process: it is opened there anew."""
        return OnnxFeatures, (self._path, self._contract, self._num_threads)

    def forward(self, images: Tensor) -> Tensor:
        if self._contract.is_channel_last:
            images = images.permute(0, 2, 3, 1)
        pixels = images.detach().float().cpu().numpy()
        if self._contract.dtype == "uint8":
            pixels = np.clip(np.rint(pixels), 0, 255)
        pixels = np.ascontiguousarray(pixels, dtype=self._contract.dtype)
        size = self._contract.batch or max(1, len(pixels))
        described = [self._run(pixels[start : start + size], size) for start in range(0, len(pixels), size)]
        return torch.from_numpy(np.concatenate(described)).to(images.device)

    def _run(self, pixels: NDArray[np.generic], size: int) -> NDArray[np.float32]:
        """A graph of a fixed batch gets its last picture as often as it needs; what comes of these is left out."""
        missing = size - len(pixels) if self._contract.batch else 0
        filled = np.concatenate([pixels, np.repeat(pixels[-1:], missing, axis=0)]) if missing else pixels
        output = np.asarray(self._session.run(None, {self._input_name: filled})[0], dtype=np.float32)
        return output[: len(pixels)]


def _open_session(path: Path, num_threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = num_threads, 1
    options.log_severity_level = 3  # what it warns of is the graph's making, which is not ours to change
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own kinds share no base class
        raise InputError(f"{path} is not a readable ONNX file ({str(error).splitlines()[0]}); copy it again") from error


def build_onnx(path: Path, input_size_px: int | None = None, known: Note | None = None) -> Network:
    """Open a graph on as many threads as PyTorch has; two made pictures must be described, and differently.

    Raises:
        InputError: what `read_contract` refuses; a graph of another size, or of any size where none is given; one that
            gives no descriptors, class scores, or the same whatever it sees.
    """
    contract = read_contract(path, known)
    if contract.size_px is None and input_size_px is None:
        raise InputError(f"{path} takes pictures of any size; say which, for example {path.name}@288")
    if contract.size_px is not None and input_size_px not in {None, contract.size_px}:
        raise InputError(f"{path} was exported for {contract.size_px} px, not {input_size_px}")
    size_px = contract.size_px or input_size_px or 0
    features = OnnxFeatures(path, contract, torch.get_num_threads()).eval()
    mean, std = contract.scaling
    return Network(
        features,
        _checked_dim(path, features, _probes(size_px, mean, std)),
        size_px,
        mean,
        std,
        contract.resample,
        precision=contract.precision,
        graph_bytes=contract.num_bytes,
    )


def _probes(size_px: int, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """(2, 3, S, S): coloured noise, and red that fades to the right; normalised."""
    noise = torch.from_numpy(np.random.default_rng(0).random((3, size_px, size_px), dtype=np.float32))
    fading = torch.zeros(3, size_px, size_px)
    fading[0] = torch.linspace(1.0, 0.2, size_px)
    centre, scale = (torch.tensor(values).view(3, 1, 1) for values in (mean, std))
    return (torch.stack([noise, fading]) - centre) / scale


def _checked_dim(path: Path, features: OnnxFeatures, probes: Tensor) -> int:
    """D of a graph that describes."""
    try:
        described = features(probes)
    except Exception as error:  # ONNX Runtime's own kinds share no base class
        reason = str(error).splitlines()[0]
        raise InputError(f"{path} does not run at {probes.shape[-1]} px ({reason}); give another size") from error
    if described.ndim != 2:
        raise InputError(f"{path} needs an output (N, D), it gives {tuple(described.shape)}; export its descriptor")
    if not torch.isfinite(described).all():
        raise InputError(f"{path} gives descriptors that are not finite; copy it again, or give another file")
    if described.shape[1] in _CLASS_COUNTS:
        raise InputError(f"{path} gives {described.shape[1]:,} values, ImageNet's classes; export what is before them")
    noise, fading = torch.nn.functional.normalize(described)
    if torch.allclose(noise, fading, rtol=0.0, atol=1e-6):
        raise InputError(f"{path} describes two different pictures alike; give a trained network")
    return int(described.shape[1])
