"""The passes of `bench/artifacts/worker.py` as functions: each pushes a request to a device and pulls the result."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.artifacts.artifact import Artifact
from bench.artifacts.worker import EXIT_NO_RUNTIME
from bench.records.latency import Preset
from bench.records.record import ColdStart, Latency, Memory, RuntimeInfo
from devices.base import Device
from icd_mobile.arrays import Descriptors
from icd_mobile.errors import GateError, OutsideError

START_LIMIT_S = 300.0  # for starting Python, importing a runtime and loading a model, on a slow device
EMBED_LIMIT_S_PER_IMAGE = 10.0
WORKER, RUNTIME, REQUEST, RESULT = "worker.py", "runtime_file.py", "request.json", "result.json"
PIXELS, DESCRIPTORS = "pixels.npy", "descriptors.npy"


def push_artifact(device: Device, artifact: Artifact) -> None:
    """Send the worker, the runtime file and the model; the passes below find them there."""
    assert artifact.runtime_path is not None, "an artifact without a runtime is not measured"
    device.push(Path(__file__).with_name("worker.py"), WORKER)
    device.push(artifact.runtime_path, RUNTIME)
    device.push(artifact.model_path, _model_name(artifact))


def _model_name(artifact: Artifact) -> str:
    return f"model{artifact.model_path.suffix}"


def cold_start(device: Device, artifact: Artifact, num_threads: int) -> tuple[ColdStart, RuntimeInfo]:
    """Import, load and first inference in a fresh process, and which runtime it was."""
    result = _run(device, artifact, num_threads, {"mode": "load"}, START_LIMIT_S)
    return ColdStart.model_validate(result["values"]), RuntimeInfo.model_validate(result["runtime"])


def latency(device: Device, artifact: Artifact, num_threads: int, preset: Preset) -> Latency:
    """Raw samples of single inferences."""
    request = {"mode": "latency", "min_count": preset.min_count, "min_s": preset.min_s, "limit_s": preset.limit_s}
    result = _run(device, artifact, num_threads, request, START_LIMIT_S + preset.limit_s)
    return Latency.model_validate({name: tuple(values) for name, values in result["values"].items()})


def memory(device: Device, artifact: Artifact, num_threads: int) -> Memory:
    """Resident size before and after loading."""
    return Memory.model_validate(_run(device, artifact, num_threads, {"mode": "memory"}, START_LIMIT_S)["values"])


def embed(
    device: Device, artifact: Artifact, num_threads: int, pixels: Path, on_image: Callable[[int, int], None]
) -> Descriptors:
    """Descriptors (N, D) of a .npy of (N, S, S, 3) uint8; `on_image` hears how many of how many are done.

    Raises:
        GateError: the artifact's descriptors have another shape than its manifest says.
    """
    num_images = len(np.load(pixels, mmap_mode="r"))
    device.push(pixels, PIXELS)
    request = {"mode": "embed", "pixels": PIXELS, "descriptors": DESCRIPTORS}
    limit_s = START_LIMIT_S + EMBED_LIMIT_S_PER_IMAGE * num_images
    _run(device, artifact, num_threads, request, limit_s, lambda line: _read_progress(line, on_image))
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / DESCRIPTORS
        device.pull(DESCRIPTORS, local)
        descriptors: Descriptors = np.load(local)
    expected = (num_images, artifact.info.descriptor_dim)
    if descriptors.shape != expected:
        raise GateError(f"{artifact.info.name} gave descriptors {descriptors.shape} where {expected} is needed")
    return descriptors


def _read_progress(line: str, on_image: Callable[[int, int], None]) -> None:
    """The worker writes `progress DONE ALL`; a runtime may write lines of its own between."""
    words = line.split()
    if len(words) == 3 and words[0] == "progress" and words[1].isdigit() and words[2].isdigit():
        on_image(int(words[1]), int(words[2]))


def _run(
    device: Device,
    artifact: Artifact,
    num_threads: int,
    request: dict[str, Any],
    limit_s: float,
    on_line: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """One pass in a fresh process; returns its `values` and the `runtime`.

    Raises:
        OutsideError: the runtime's package is not installed on the device.
        GateError: the worker crashed.
        DeviceError: the device failed, or the pass ran past `limit_s`.
    """
    whole = request | {
        "runtime": RUNTIME,
        "model": _model_name(artifact),
        "num_threads": num_threads,
        "input_size_px": artifact.info.input_size_px,
        "result": RESULT,
    }
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / REQUEST).write_text(json.dumps(whole), encoding="utf-8")
        device.push(Path(folder) / REQUEST, REQUEST)
        done = device.run(WORKER, [REQUEST], limit_s, on_line)
        if done.returncode not in (0, EXIT_NO_RUNTIME):
            raise GateError(f"the {request['mode']} pass {_how_it_ended(done.returncode, done.stderr)}")
        device.pull(RESULT, Path(folder) / RESULT)
        result: dict[str, Any] = json.loads((Path(folder) / RESULT).read_text(encoding="utf-8"))
    if done.returncode == EXIT_NO_RUNTIME:
        missing = result["missing_module"]
        raise OutsideError(f"{missing} is not installed on {device.facts().name}: {artifact.install}")
    return result


def _how_it_ended(returncode: int, stderr: str) -> str:
    last = next((line.strip() for line in reversed(stderr.splitlines()) if line.strip()), "without a message")
    return f"was ended by signal {-returncode}" if returncode < 0 else f"crashed: {last}"
