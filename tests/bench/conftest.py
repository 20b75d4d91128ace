"""Bundles of an ONNX graph small enough to run in milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from bench.artifacts.artifact import Artifact
from bench.records.latency import Preset
from bench.records.record import EDITS, ArtifactInfo, ColdStart, Latency, Memory, Record, RuntimeInfo, Stability
from devices.base import DeviceFacts
from export.bundle.bundle import list_files, write_manifest
from export.bundle.manifest import Accuracy as BundleAccuracy
from export.bundle.manifest import (
    Manifest,
    Parity,
    PixelContract,
    Quantization,
    StudentInfo,
    TensorInfo,
)
from icd_mobile.retrieval.result import Accuracy, BaselineInfo, NormalizedAccuracy

SIZE_PX, GRID = 64, 8
DESCRIPTOR_DIM = 3 * GRID * GRID


def make_model(path: Path) -> None:
    """Pixels (1, 3, 64, 64) -> 8 x 8 means around zero, L2-normalised (1, 192)."""
    stride = SIZE_PX // GRID
    nodes = [
        helper.make_node("AveragePool", ["pixels"], ["small"], kernel_shape=[stride] * 2, strides=[stride] * 2),
        helper.make_node("Sub", ["small", "grey"], ["centred"]),
        helper.make_node("Flatten", ["centred"], ["flat"]),
        helper.make_node("LpNormalization", ["flat"], ["descriptor"], axis=1, p=2),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1, 3, SIZE_PX, SIZE_PX])],
        [helper.make_tensor_value_info("descriptor", TensorProto.FLOAT, [1, DESCRIPTOR_DIM])],
        [helper.make_tensor("grey", TensorProto.FLOAT, [1], [127.5])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def make_bundle(folder: Path, target: str = "onnx", model: bytes | None = None) -> Path:
    """A bundle with the tiny model, or with other bytes in its place."""
    folder.mkdir(parents=True)
    model_path = folder / "model.onnx"
    if model is None:
        make_model(model_path)
    else:
        model_path.write_bytes(model)
    manifest = Manifest(
        name=folder.name,
        state="ok",
        target=target,
        precision="fp32",
        created_utc="2025-01-01T00:00:00Z",
        model_path="model.onnx",
        model_bytes=model_path.stat().st_size,
        inputs=(TensorInfo(name="pixels", shape=(1, 3, SIZE_PX, SIZE_PX), dtype="float32", layout="NCHW"),),
        outputs=(TensorInfo(name="descriptor", shape=(1, DESCRIPTOR_DIM), dtype="float32", layout="ND"),),
        pixels=PixelContract(size_px=SIZE_PX, resize="bilinear, antialiased"),
        student=StudentInfo(
            name="tiny",
            descriptor_dim=DESCRIPTOR_DIM,
            weights_sha256="0" * 64,
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
            pooling="gem",
            teacher=None,
            trunk="none",
            recipe="none",
            data="none",
        ),
        quantization=Quantization(recipe="none", float_parts="all", calibration=None),
        parity=Parity(
            evidence="measured",
            reason="onnxruntime",
            cosine_min=0.99999,
            cosine_mean=1.0,
            max_abs_difference=0.0,
            bar_cosine_min=0.9999,
            passed=True,
        ),
        accuracy=BundleAccuracy(evidence="not measured"),
        tools={},
        licence="MIT",
        files=list_files(folder),
    )
    write_manifest(folder, manifest)
    return folder


@pytest.fixture(scope="session")
def bundle_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good bundle; not to be written to."""
    return make_bundle(tmp_path_factory.mktemp("bundles") / "tiny-onnx-fp32")


@pytest.fixture
def new_bundle(tmp_path: Path) -> Callable[..., Path]:
    """Makes bundles in `tmp_path / "bundles"`: name, target, and the model's bytes where not the tiny graph."""

    def make(name: str, target: str = "onnx", model: bytes | None = None) -> Path:
        return make_bundle(tmp_path / "bundles" / name, target, model)

    return make


@pytest.fixture(scope="session")
def tiny_preset() -> Preset:
    """Over in a blink."""
    return Preset("tiny", min_count=5, min_s=0.02, limit_s=30.0)


@pytest.fixture(scope="session")
def artifact_info() -> Callable[..., ArtifactInfo]:
    """The facts of an artifact, with some changed."""

    def make(**changes: object) -> ArtifactInfo:
        facts = {
            "name": "tiny-onnx-fp32",
            "target": "onnx",
            "precision": "fp32",
            "state": "ok",
            "student": "tiny",
            "descriptor_dim": DESCRIPTOR_DIM,
            "input_size_px": SIZE_PX,
            "weights_sha256": "0" * 64,
            "model_bytes": 5_000_000,
            "model_sha256": "1" * 64,
            "quantization": "none",
            "parity_evidence": "measured",
            "parity_reason": "onnxruntime",
            "parity_cosine_min": 0.99999,
        }
        return ArtifactInfo.model_validate(facts | changes)

    return make


@pytest.fixture
def scripted_artifact(tmp_path: Path, artifact_info: Callable[..., ArtifactInfo]) -> Callable[[str], Artifact]:
    """An artifact with an empty model, opened by a runtime file of the given text."""

    def make(runtime_text: str) -> Artifact:
        (tmp_path / "model.bin").write_bytes(b"model")
        (tmp_path / "scripted_runtime.py").write_text(runtime_text)
        return Artifact(artifact_info(), tmp_path / "model.bin", tmp_path / "scripted_runtime.py", "pip install fake")

    return make


@pytest.fixture(scope="session")
def new_record(artifact_info: Callable[..., ArtifactInfo]) -> Callable[..., Record]:
    """A whole record: p50 as given, a little spread, and micro-AP against a baseline of 0.8."""

    def make(
        p50_ms: float = 10.0, micro_ap: float = 0.8, info: dict[str, object] | None = None, **changes: object
    ) -> Record:
        artifact = artifact_info(**(info or {}))
        samples = tuple(round((p50_ms + offset / 100) * 1e6) for offset in (-2, -1, 0, 1, 2)) * 4
        whole = {
            "created_utc": "2025-01-02T03:04:05Z",
            "artifact": artifact,
            "device": DeviceFacts(
                "host", "computer", "M", "Linux", "CPU", "x86_64", 2, 2**33, "not measured", "3.11.7"
            ),
            "preset": Preset("smoke", 20, 0.1, 30.0),
            "num_threads": 1,
            "runtime": RuntimeInfo(package="onnxruntime", version="1.2.3", accelerator="cpu"),
            "load": tuple(
                ColdStart(import_ns=10**9, load_ns=n * 10**6, first_inference_ns=10**7) for n in (30, 50, 70)
            ),
            "latency": Latency(warmup_ns=(2 * 10**7,), samples_ns=samples, feed_ns=(10**5, 2 * 10**5, 9 * 10**5)),
            "memory": Memory(baseline_bytes=50_000_000, peak_bytes=90_000_000, source="VmHWM"),
            "accuracy": Accuracy(
                dataset="sample-v1",
                dataset_sha256="d" * 64,
                num_references=315,
                num_queries=504,
                num_positives=360,
                num_skipped=0,
                k=10,
                micro_ap=micro_ap,
                micro_ap_low=micro_ap - 0.05,
                micro_ap_high=micro_ap + 0.05,
                recall_at_p90=0.6,
                threshold_at_p90=0.7,
                recall_at_1=0.9,
                recall_at_10=0.95,
                accuracy_at_1=0.9,
                normalized=NormalizedAccuracy(
                    beta=1.0,
                    num_training=500,
                    micro_ap=micro_ap + 0.04,
                    micro_ap_low=micro_ap,
                    micro_ap_high=micro_ap + 0.08,
                    recall_at_p90=0.7,
                    threshold_at_p90=0.3,
                ),
                baseline=BaselineInfo(name="tiny-pytorch-fp32", weights_sha256="0" * 64, micro_ap=0.8),
                not_measured={"teacher": "no student names one; give --teacher"},
            ),
            "stability": Stability(
                num_images=3,
                cosines=dict.fromkeys(EDITS, (0.97, 0.98, 0.99)),
                canary_cosines=(0.5, 0.6, 0.7),
            ),
            "not_measured": {},
        }
        return Record(**(whole | changes))

    return make
