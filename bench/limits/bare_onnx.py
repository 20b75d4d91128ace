"""The least that ONNX Runtime needs to run a model, timed: what `bench.limits.harness` holds our own passes against.

Called as `bare_onnx.py MODEL NUM_THREADS NUM_WARMUPS NUM_RUNS`; prints the median of `InferenceSession.run`, in ms.
"""

from __future__ import annotations

import statistics
import sys
import time

import numpy as np
import onnxruntime as ort

from export.runtimes.onnxruntime import exact_int8_options


def median_ms(model: str, num_threads: int, num_warmups: int, num_runs: int) -> float:
    """Median duration of one call, on random pixels."""
    options = exact_int8_options()
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    tensor = session.get_inputs()[0]
    feeds = {tensor.name: np.random.default_rng(0).uniform(0, 255, tensor.shape).astype(np.float32)}
    for _ in range(num_warmups):
        session.run(None, feeds)
    durations_ns = []
    for _ in range(num_runs):
        start = time.perf_counter_ns()
        session.run(None, feeds)
        durations_ns.append(time.perf_counter_ns() - start)
    return statistics.median(durations_ns) / 1e6


if __name__ == "__main__":
    print(median_ms(sys.argv[1], *(int(word) for word in sys.argv[2:5])))
