"""The worker's passes, run for real in fresh processes on this computer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from bench.artifacts import remote
from bench.artifacts.artifact import Artifact, bundle_artifact
from bench.records.latency import Preset
from devices.base import Device, DeviceError, open_device
from icd_mobile.errors import GateError, OutsideError

ScriptedArtifact = Callable[[str], Artifact]
# What every runtime file has, with an `invoke` to fill in; the descriptor is the unit vector of 192.
RUNTIME = """
import time
import numpy as np
PACKAGE = "numpy"
class Session:
    def feed(self, pixels): self.pixels = pixels
    def invoke(self): {invoke}
    def read(self): return np.eye(1, 192, dtype=np.float32)[0]
def load(path, num_threads): return Session()
"""


@pytest.fixture
def host() -> Iterator[Device]:
    with open_device("host") as device:
        yield device


def pushed(device: Device, artifact: Artifact) -> Artifact:
    remote.push_artifact(device, artifact)
    return artifact


def pixel_file(folder: Path, num_images: int) -> Path:
    path = folder / "pixels.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (num_images, 64, 64, 3), dtype=np.uint8))
    return path


def test_cold_start_tells_its_three_parts_and_the_runtime(host: Device, bundle_dir: Path) -> None:
    start, runtime = remote.cold_start(host, pushed(host, bundle_artifact(bundle_dir)), num_threads=1)
    assert min(start.import_ns, start.load_ns, start.first_inference_ns) > 0
    assert start.import_ns > start.load_ns
    assert (runtime.package, runtime.version, runtime.accelerator) == ("onnxruntime", onnxruntime.__version__, "cpu")


def test_latency_keeps_warm_ups_apart_and_meets_count_and_seconds(
    host: Device, scripted_artifact: ScriptedArtifact
) -> None:
    artifact = pushed(host, scripted_artifact(RUNTIME.format(invoke="time.sleep(0.01)")))
    by_count = remote.latency(host, artifact, 1, Preset("p", min_count=30, min_s=0.0, limit_s=60.0))
    assert len(by_count.samples_ns) == 30
    assert min(by_count.samples_ns) >= 10_000_000
    assert sum(by_count.warmup_ns) >= 0.9e9
    by_time = remote.latency(host, artifact, 1, Preset("p", min_count=2, min_s=0.5, limit_s=60.0))
    assert len(by_time.samples_ns) > 2
    assert sum(by_time.samples_ns) >= 0.4e9


def test_latency_of_a_very_slow_artifact_ends_at_the_limit(host: Device, scripted_artifact: ScriptedArtifact) -> None:
    artifact = pushed(host, scripted_artifact(RUNTIME.format(invoke="time.sleep(0.3)")))
    found = remote.latency(host, artifact, 1, Preset("p", min_count=1000, min_s=0.0, limit_s=1.0))
    assert 2 <= len(found.samples_ns) <= 4


def test_memory_delta_is_what_loading_and_running_took(host: Device, scripted_artifact: ScriptedArtifact) -> None:
    # 40 MB touched by the first inference, and an import whose own passing peak of 200 MB must not count.
    text = RUNTIME.format(invoke="self.kept = np.ones(5_000_000)") + "\ndel_me = np.ones(25_000_000); del del_me\n"
    found = remote.memory(host, pushed(host, scripted_artifact(text)), num_threads=1)
    assert found.source in {"VmHWM", "ru_maxrss"}
    if found.source == "VmHWM":
        assert 38e6 < found.peak_bytes - found.baseline_bytes < 100e6


def test_descriptors_are_those_of_the_runtime_in_order(host: Device, bundle_dir: Path, tmp_path: Path) -> None:
    artifact = pushed(host, bundle_artifact(bundle_dir))
    pixels = pixel_file(tmp_path, num_images=40)
    seen: list[tuple[int, int]] = []
    found = remote.embed(host, artifact, 1, pixels, lambda done, total: seen.append((done, total)))
    session = onnxruntime.InferenceSession(str(artifact.model_path))
    for image, descriptor in zip(np.load(pixels), found, strict=True):
        (expected,) = session.run(None, {"pixels": image.transpose(2, 0, 1)[None].astype(np.float32)})
        np.testing.assert_array_equal(descriptor, expected[0])
    assert seen == [(16, 40), (32, 40), (40, 40)]


def test_descriptors_of_another_shape_are_refused(
    host: Device, scripted_artifact: ScriptedArtifact, tmp_path: Path
) -> None:
    artifact = pushed(host, scripted_artifact(RUNTIME.format(invoke="pass").replace("192", "100")))
    with pytest.raises(GateError, match=r"\(3, 100\) where \(3, 192\)"):
        remote.embed(host, artifact, 1, pixel_file(tmp_path, 3), lambda _done, _total: None)


def test_runtime_of_another_distribution_runs_without_a_version(
    host: Device, scripted_artifact: ScriptedArtifact
) -> None:
    text = RUNTIME.format(invoke="pass").replace('"numpy"', '"brought-by-another"')
    _, runtime = remote.cold_start(host, pushed(host, scripted_artifact(text)), num_threads=1)
    assert (runtime.package, runtime.version) == ("brought-by-another", "not measured")


def test_missing_runtime_says_how_to_install_it(host: Device, scripted_artifact: ScriptedArtifact) -> None:
    artifact = pushed(host, scripted_artifact("import no_such_runtime"))
    with pytest.raises(OutsideError, match="no_such_runtime is not installed on host: pip install fake"):
        remote.cold_start(host, artifact, num_threads=1)


def test_crash_is_told_by_the_last_line_of_its_message(host: Device, scripted_artifact: ScriptedArtifact) -> None:
    artifact = pushed(host, scripted_artifact(RUNTIME.format(invoke="raise RuntimeError('bad graph')")))
    with pytest.raises(GateError, match="the load pass crashed: RuntimeError: bad graph"):
        remote.cold_start(host, artifact, num_threads=1)


def test_death_by_signal_is_told(host: Device, scripted_artifact: ScriptedArtifact) -> None:
    artifact = pushed(host, scripted_artifact("import os; os.kill(os.getpid(), 11)"))
    with pytest.raises(GateError, match="the memory pass was ended by signal 11"):
        remote.memory(host, artifact, num_threads=1)


def test_hanging_pass_is_ended(
    host: Device, scripted_artifact: ScriptedArtifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "START_LIMIT_S", 1.0)
    artifact = pushed(host, scripted_artifact("import time; time.sleep(60)"))
    with pytest.raises(DeviceError, match="past its limit of 1 s"):
        remote.cold_start(host, artifact, num_threads=1)
