"""`python -m bench.limits.harness`: do our latencies agree with the runtimes' own tools?

Our latency pass and the other tool take turns on the same artifact, each in a fresh process: LiteRT's own
`benchmark_litert_model`, and for ONNX Runtime a bare loop over `InferenceSession.run`. Each round gives the ratio of
two medians taken within seconds of each other, so that a machine that is busy for minutes slows both alike; the median
of these ratios must stay between 0.95 and 1.05.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devices.base import DeviceError, open_device
from icd_mobile.cli import one_line_errors
from icd_mobile.errors import InputError, OutsideError

if TYPE_CHECKING:
    from bench.artifacts.artifact import Artifact
    from devices.base import Device

LOWEST_RATIO, HIGHEST_RATIO = 0.95, 1.05
NUM_ROUNDS, NUM_WARMUPS = 15, 10
ROUND_S = 1.0
MIN_RUNS, MAX_RUNS = 20, 2000
TOOL_LIMIT_S = 600.0

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True)
class Comparison:
    """p50 of each round, ours and the other tool's, in ms."""

    name: str
    ours_ms: tuple[float, ...]
    theirs_ms: tuple[float, ...]

    @property
    def ratios(self) -> list[float]:
        """Ours over theirs, round by round."""
        return [ours / theirs for ours, theirs in zip(self.ours_ms, self.theirs_ms, strict=True)]

    @property
    def ratio(self) -> float:
        """Median over the rounds."""
        return statistics.median(self.ratios)

    @property
    def agrees(self) -> bool:
        """Whether the ratio is within the bar."""
        return LOWEST_RATIO <= self.ratio <= HIGHEST_RATIO


def litert_tool_ms(model: Path, num_threads: int, num_runs: int) -> float:
    """Median in ms that LiteRT's own tool reports."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        words = ["--model", str(model), "--num_threads", str(num_threads), "--result_json", str(result)]
        words += ["--num_runs", str(num_runs), "--warmup_runs", str(NUM_WARMUPS)]
        _run_tool(["-m", "ai_edge_litert.tools.benchmark_litert_model", *words])
        return parse_litert_result(result.read_text(encoding="utf-8"))


def parse_litert_result(text: str) -> float:
    """The median, in ms, of the JSON that LiteRT's tool writes.

    Raises:
        OutsideError: another layout than the one known.
    """
    try:
        return float(json.loads(text)["latency"]["median_ms"])
    except (ValueError, KeyError, TypeError) as error:
        raise OutsideError("LiteRT's benchmark tool wrote an unknown result; pin ai-edge-litert to 2.3") from error


def bare_onnx_ms(model: Path, num_threads: int, num_runs: int) -> float:
    """Median in ms of a bare loop over `InferenceSession.run`."""
    script = Path(__file__).with_name("bare_onnx.py")
    return float(_run_tool([str(script), str(model), str(num_threads), str(NUM_WARMUPS), str(num_runs)]))


def _run_tool(arguments: list[str]) -> str:
    command = [sys.executable, "-P", *arguments]
    name = f"the comparison tool {arguments[0]} {arguments[1]}"
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TOOL_LIMIT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise OutsideError(f"{name} ran past its limit of {TOOL_LIMIT_S:g} s; run again on an idle machine") from error
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise OutsideError(f"{name} failed: {last}")
    return done.stdout


TOOLS: dict[str, Callable[[Path, int, int], float]] = {"tflite": litert_tool_ms, "onnx": bare_onnx_ms}


def our_ms(device: Device, artifact: Artifact, num_threads: int, num_runs: int) -> float:
    """p50 in ms of our own latency pass."""
    from bench.artifacts import remote
    from bench.records.latency import Preset, percentile

    remote.push_artifact(device, artifact)
    preset = Preset("harness", num_runs, min_s=0.0, limit_s=TOOL_LIMIT_S)
    return percentile(remote.latency(device, artifact, num_threads, preset).samples_ns, 50) / 1e6


def compare(device: Device, artifact: Artifact, num_threads: int, num_rounds: int, round_s: float) -> Comparison:
    """Take turns with the tool of the artifact's target; who begins changes with each round."""
    tool = TOOLS[artifact.info.target]
    guess_ms = our_ms(device, artifact, num_threads, MIN_RUNS)
    num_runs = min(MAX_RUNS, max(MIN_RUNS, round(round_s * 1e3 / guess_ms)))
    ours, theirs = [], []
    for index in range(num_rounds):
        if index % 2 == 0:
            ours.append(our_ms(device, artifact, num_threads, num_runs))
        theirs.append(tool(artifact.model_path, num_threads, num_runs))
        if index % 2 == 1:
            ours.append(our_ms(device, artifact, num_threads, num_runs))
    return Comparison(artifact.info.name, tuple(ours), tuple(theirs))


@app.command(
    help="Compare our p50 with the runtimes' own tools, taking turns; exit 1 where a ratio leaves 0.95..1.05.",
    epilog="Example: python -m bench.limits.harness --bundle artifacts/bundles",
)
def main(
    bundle: Annotated[
        list[Path] | None,
        typer.Option(help="A bundle or a folder of bundles; repeatable.", show_default="artifacts/bundles"),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, max=256, help="Threads of both.")] = 1,
) -> None:
    with one_line_errors(DeviceError):
        from bench.artifacts.artifact import bundle_artifact, find_bundles

        artifacts = [bundle_artifact(path) for path in find_bundles(bundle or [Path("artifacts/bundles")])]
        judged = [artifact for artifact in artifacts if artifact.info.target in TOOLS]
        if not judged:
            raise InputError("no tflite or onnx bundle there; make one: python -m export --target tflite")
        with open_device("host") as device:
            comparisons = []
            for artifact in judged:
                comparisons.append(compare(device, artifact, threads, NUM_ROUNDS, ROUND_S))
                typer.echo(describe(comparisons[-1]))
    raise typer.Exit(0 if all(comparison.agrees for comparison in comparisons) else 1)


def describe(comparison: Comparison) -> str:
    """One line: both medians, their ratio, and how far single rounds lie apart."""
    verdict = "agrees" if comparison.agrees else f"outside {LOWEST_RATIO}..{HIGHEST_RATIO}"
    return (
        f"{comparison.name}: ours {statistics.median(comparison.ours_ms):.3f} ms, "
        f"the tool's {statistics.median(comparison.theirs_ms):.3f} ms, ratio {comparison.ratio:.3f} ({verdict}); "
        f"single rounds {min(comparison.ratios):.3f} to {max(comparison.ratios):.3f}"
    )


if __name__ == "__main__":
    app()
