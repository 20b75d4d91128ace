"""A teacher that is an ONNX graph, measured as `eager.py` measures the others, and run by ONNX Runtime on the CPU."""

from __future__ import annotations

from bench.artifacts.eager import load

__all__ = ["ACCELERATOR", "PACKAGE", "load"]

PACKAGE, ACCELERATOR = "onnxruntime", "cpu"
