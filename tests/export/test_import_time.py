"""`python -m export --help` answers at once, because nothing heavy is imported until it is used."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

HEAVY = ("torch", "tensorflow", "coremltools", "onnx", "onnxruntime", "litert_torch", "executorch", "pydantic", "numpy")


@pytest.mark.parametrize("module", ["export", "export.__main__", "distill.__main__", "bench.__main__", "devices"])
def test_importing_a_command_line_imports_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_answers_in_under_half_a_second() -> None:
    """The best of five runs: a bar on our imports, not on how busy the machine is."""

    def seconds() -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "export", "--help"], capture_output=True, check=True)
        return time.perf_counter() - start

    assert min(seconds() for _ in range(5)) < 0.5
