"""PyTorch eager as a runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from bench import eager
from distill.checkpoint import random_student, save_checkpoint


def test_descriptor_is_that_of_the_normalised_image(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    checkpoint = random_student("efficientnet_lite0")
    save_checkpoint(tmp_path / "student.safetensors", checkpoint.model, checkpoint.card)
    size = checkpoint.card.input_size_px
    pixels = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    try:
        session = eager.load(tmp_path / "student.safetensors", num_threads=1)
        session.feed(pixels)
        session.invoke()
    finally:
        torch.set_num_threads(threads)
    # Lite0's mean and deviation are 0.5, so its input is pixels / 127.5 - 1.
    image = torch.from_numpy(pixels / np.float32(127.5) - np.float32(1)).permute(2, 0, 1)[None]
    with torch.inference_mode():
        expected = checkpoint.model(image.float())[0].numpy()
    np.testing.assert_allclose(session.read(), expected, atol=1e-5)
