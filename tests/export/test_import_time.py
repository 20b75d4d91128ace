"""`python -m export --help` answers at once, because nothing heavy is imported until it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "tensorflow", "coremltools", "onnx", "onnxruntime", "litert_torch", "executorch", "pydantic", "numpy")


@pytest.mark.parametrize("module", ["export", "export.__main__", "distill.__main__", "bench.__main__", "devices"])
def test_importing_a_command_line_imports_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
