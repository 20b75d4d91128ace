"""The part that runs on the device: one pass of one artifact in this process, described by a request file.

Sent to the device beside a runtime file and a model, so it stands alone: the standard library and numpy. Called as
`worker.py REQUEST.json`; the request's `mode` says which pass, `result` where the JSON goes. Both names, like those
of the runtime, model and pixels, are relative to the working folder.

Passes: `load` (import, load and first inference, for a fresh process), `latency` (warm-ups, then raw samples of
`invoke` alone; feeding is timed apart), `memory` (resident size before loading, and the peak after it), `embed`
(descriptors of every image). Times are in ns, sizes in bytes.

Exit code 4: the runtime's package is not installed here; the result then says which.
"""

from __future__ import annotations

import gc
import importlib.metadata
import importlib.util
import json
import os
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

EXIT_NO_RUNTIME = 4
RUNTIME_MODULE = "icd_mobile_runtime"  # a name that no installed package has
NUM_MEMORY_INVOKES = 5
NUM_FEEDS = 16
MIN_WARMUPS, WARMUP_S, WARMUP_LIMIT_S = 3, 1.0, 10.0
EMBED_BLOCK = 16
Request = dict[str, Any]
Result = dict[str, Any]


def load_pass(request: Request) -> Result:
    """Import, load and first inference, each apart."""
    start = time.perf_counter_ns()
    runtime = import_runtime(request)
    imported = time.perf_counter_ns()
    session = open_session(runtime, request)
    loaded = time.perf_counter_ns()
    session.feed(one_image(request))
    fed = time.perf_counter_ns()
    session.invoke()
    done = time.perf_counter_ns()
    return {"import_ns": imported - start, "load_ns": loaded - imported, "first_inference_ns": done - fed}


def latency_pass(request: Request) -> Result:
    """Warm-ups and raw samples of `invoke`, one after the other, until count and seconds are both met.

    `limit_s` ends the pass even then: an artifact far too slow for a phone must not hold the others up.
    """
    session = open_session(import_runtime(request), request)
    image = one_image(request)
    feed_ns = []
    for _ in range(NUM_FEEDS):
        start = time.perf_counter_ns()
        session.feed(image)
        feed_ns.append(time.perf_counter_ns() - start)
    gc.collect()
    gc.disable()
    warmup_ns = sample(session, MIN_WARMUPS, WARMUP_S, WARMUP_LIMIT_S)
    samples_ns = sample(session, request["min_count"], request["min_s"], request["limit_s"])
    gc.enable()
    return {"warmup_ns": warmup_ns, "samples_ns": samples_ns, "feed_ns": feed_ns}


def sample(session: Any, min_count: int, min_s: float, limit_s: float) -> list[int]:
    """Durations of `invoke` in ns; stops at the first end of an invoke where it may."""
    clock = time.perf_counter_ns
    durations: list[int] = []
    start = clock()
    minimum, limit = start + int(min_s * 1e9), start + int(limit_s * 1e9)
    while True:
        before = clock()
        session.invoke()
        after = clock()
        durations.append(after - before)
        if (after >= minimum and len(durations) >= min_count) or after >= limit:
            return durations


def memory_pass(request: Request) -> Result:
    """Resident size after the imports, then the peak over loading and a few inferences."""
    runtime = import_runtime(request)
    image = one_image(request)
    gc.collect()
    reset_peak()
    baseline, source = resident_bytes("VmRSS")
    session = open_session(runtime, request)
    for _ in range(NUM_MEMORY_INVOKES):
        session.feed(image)
        session.invoke()
    peak, _ = resident_bytes("VmHWM")
    return {"baseline_bytes": baseline, "peak_bytes": peak, "source": source}


def reset_peak() -> None:
    """Forget the peak that the imports reached. Only Linux can; elsewhere the peak is that of the whole process."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def resident_bytes(field: str) -> tuple[int, str]:
    """A field of /proc/self/status, or the process's peak where there is no /proc; and the name of the source."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":")), "VmHWM"
    except (OSError, StopIteration):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024, "ru_maxrss"


def embed_pass(request: Request) -> Result:
    """Descriptors (N, D) float32 of `pixels` (N, S, S, 3) uint8, written whole to `descriptors`."""
    session = open_session(import_runtime(request), request)
    pixels = np.load(request["pixels"], mmap_mode="r")
    rows = []
    for start in range(0, len(pixels), EMBED_BLOCK):
        for image in pixels[start : start + EMBED_BLOCK]:
            session.feed(np.ascontiguousarray(image))
            session.invoke()
            rows.append(session.read())
        print(f"progress {len(rows)} {len(pixels)}", flush=True)
    destination = Path(request["descriptors"])
    temporary = destination.with_suffix(".tmp")
    with temporary.open("wb") as file:
        np.save(file, np.stack(rows).astype(np.float32))
    temporary.replace(destination)
    return {"num_images": len(rows)}


PASSES = {"load": load_pass, "latency": latency_pass, "memory": memory_pass, "embed": embed_pass}


def import_runtime(request: Request) -> ModuleType:
    """The runtime file as a module."""
    spec = importlib.util.spec_from_file_location(RUNTIME_MODULE, request["runtime"])
    if spec is None or spec.loader is None:
        raise ImportError(f"{request['runtime']} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def open_session(runtime: ModuleType, request: Request) -> Any:
    """`load` of the runtime file, on the request's model."""
    return runtime.load(Path(request["model"]), request["num_threads"])


def one_image(request: Request) -> np.ndarray:
    """An image of the artifact's size, the same everywhere: random pixels from a fixed seed."""
    size = request["input_size_px"]
    return np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)


def runtime_facts() -> dict[str, str]:
    """Which runtime this was; a runtime file that uses more than the CPU says so in `ACCELERATOR`."""
    module = sys.modules[RUNTIME_MODULE]
    package = str(module.PACKAGE)
    try:
        version = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # another distribution brought it, such as onnxruntime-gpu
        version = "not measured"
    return {
        "package": package,
        "version": version,
        "accelerator": str(getattr(module, "ACCELERATOR", "cpu")),
    }


def write_result(request: Request, result: Result) -> None:
    """Whole or not at all."""
    destination = Path(request["result"])
    temporary = destination.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(json.dumps(result))
    temporary.replace(destination)


def main(request_path: str) -> int:
    """Run one request."""
    request: Request = json.loads(Path(request_path).read_text())
    try:
        values = PASSES[request["mode"]](request)
        write_result(request, {"values": values, "runtime": runtime_facts()})
    except ModuleNotFoundError as error:
        write_result(request, {"missing_module": error.name})
        return EXIT_NO_RUNTIME
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
