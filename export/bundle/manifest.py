"""`manifest.json`: what a bundle is, in one strict schema."""

from __future__ import annotations

from typing import Literal

import pydantic

from icd_mobile.evidence import Evidence
from icd_mobile.strict import Strict

# 1: first; 2: accuracy says its dataset's hash, its device and its runtime; 3: calibration names its images, and what
# they were compared with; structure; quantization tells of its search.
SCHEMA_VERSION = 3
MANIFEST_NAME = "manifest.json"
BUNDLE_KIND = "icd-mobile bundle"


class TensorInfo(Strict):
    """A graph input or output. `layout` is NHWC, NCHW, image (Core ML's ImageType) or ND."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    layout: str
    scale: float | None = None
    zero_point: int | None = None


class PixelContract(Strict):
    """What the app does before the graph; everything after it (mean, std, / 255) is inside the graph."""

    color: Literal["RGB"] = "RGB"
    value_range: tuple[int, int] = (0, 255)
    size_px: int
    resize: str
    normalization: str = "none: folded into the graph"


class StudentInfo(Strict):
    """The student that the artifact was made from: its card's facts, repeated."""

    name: str
    descriptor_dim: int
    weights_sha256: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    pooling: str
    teacher: str | None
    trunk: str
    recipe: str
    data: str


class CalibrationImage(Strict):
    """An image that ranges were read from, and what recognises it: the hash of its bytes, and that of its look."""

    name: str
    sha256: str = pydantic.Field(pattern=r"^[0-9a-f]{64}$")
    look: str = pydantic.Field(pattern=r"^[0-9a-f]{64}$")  # icd_mobile.pictures.perceptual_hash, in hexadecimal


class CalibrationInfo(Strict):
    """The images that activation ranges were read from; `images` is None in a bundle of schema 2 or older."""

    source: str
    num_images: int
    num_views: int
    sha256: str
    skipped: tuple[str, ...]
    images: tuple[CalibrationImage, ...] | None = None
    disjoint_from: tuple[str, ...] = ()  # the benchmarks that share none of them, as far as was looked


class ValidationInfo(Strict):
    """The benchmark that a search was judged on; neither calibration nor test."""

    name: str
    sha256: str
    num_queries: int
    num_references: int
    num_pairs: int


class TriedPlan(Strict):
    """A plan of a search; drops are None where its error alone ruled it out."""

    estimator: str
    equalised: bool
    bias_corrected: bool
    num_float_ops: int
    error: float  # mean 1 - cosine to fp32's descriptors
    drop: float | None
    cross_drop: float | None


class QuantizationSearch(Strict):
    """How int8 was fitted to a budget of micro-AP, on the quantised graph simulated in PyTorch, hence "reference".

    `micro_ap` is int8 against int8, `micro_ap_cross` int8 queries against fp32 references.
    """

    evidence: Evidence
    estimator: str
    equalised: bool
    bias_corrected: bool
    float_ops: tuple[str, ...]
    num_ops: int  # that can be int8
    int8_mac_share: float  # of the student's multiply-accumulates
    max_drop: float
    max_cross_drop: float
    micro_ap_fp32: float
    micro_ap: float
    micro_ap_cross: float
    drop: float
    cross_drop: float
    fits: bool
    tried: tuple[TriedPlan, ...]
    validation: ValidationInfo
    seconds: float  # that the search took, interrupted runs included


class Quantization(Strict):
    """How the weights and activations became small. `recipe` is one line a person can search for.

    `search` is None where no budget was asked for.
    """

    recipe: str
    float_parts: str
    calibration: CalibrationInfo | None
    search: QuantizationSearch | None = None


class Parity(Strict):
    """Artifact against checkpoint on the golden images."""

    evidence: Evidence
    reason: str  # why not measured, or which runtime measured it
    cosine_min: float | None
    cosine_mean: float | None
    max_abs_difference: float | None
    bar_cosine_min: float
    passed: bool | None


class StructureCheck(Strict):
    """How much of the graph one backend of a phone takes; `left` counts the rest, by kind of op or by reason.

    The figures are None where `evidence` is "not measured".
    """

    backend: str
    evidence: Evidence
    source: str  # what counted, or why nothing did
    num_ops: int | None = None
    num_taken: int | None = None
    num_partitions: int | None = None
    left: dict[str, int] = pydantic.Field(default_factory=dict)

    def line(self) -> str:
        """The check in one line."""
        if self.num_partitions is None:
            return f"{self.backend}: {self.evidence} ({self.source})"
        partitions = "1 partition" if self.num_partitions == 1 else f"{self.num_partitions} partitions"
        left = ", ".join(f"{count} {kind}" for kind, count in self.left.items())
        taken = f"{self.num_taken} of {self.num_ops} ops in {partitions}"
        return f"{self.backend}: {taken}{f', left: {left}' if left else ''} ({self.evidence}, {self.source})"


class Accuracy(Strict):
    """Retrieval on a named dataset, measured on the artifact.

    An export does not measure it: `python -m bench run --write-threshold` does, and writes it here.
    """

    evidence: Evidence
    dataset: str | None = None
    dataset_sha256: str | None = None
    device: str | None = None
    runtime: str | None = None
    micro_ap: float | None = None
    recall_at_p90: float | None = None
    threshold_at_p90: float | None = None  # inner products from here on: precision 0.9 on that dataset


class FileEntry(Strict):
    path: str
    bytes: int
    sha256: str


class Manifest(Strict):
    """The whole of `manifest.json`; `files` lists every file of the bundle but the manifest and its hash."""

    schema_version: int = SCHEMA_VERSION
    kind: Literal["icd-mobile bundle"] = "icd-mobile bundle"
    name: str = pydantic.Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")  # it becomes a file name
    state: Literal["ok", "exported but failed its check"]
    target: str
    precision: str = pydantic.Field(pattern=r"^(fp32|fp16|int8|w8a16)$")
    created_utc: str
    model_path: str
    model_bytes: int
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    pixels: PixelContract
    student: StudentInfo
    quantization: Quantization
    parity: Parity
    structure: tuple[StructureCheck, ...] | None = None  # None in a bundle of schema 2 or older
    accuracy: Accuracy
    tools: dict[str, str]
    licence: str
    files: tuple[FileEntry, ...]
