"""What judging one artifact's descriptors on a dataset gives. It is the accuracy section of a record as it stands."""

from __future__ import annotations

from typing import Literal

import pydantic

from icd_mobile.evidence import Evidence
from icd_mobile.strict import Sha256, Strict


class BaselineInfo(Strict):
    """What retention is relative to: the PyTorch student, or the teacher."""

    name: str
    weights_sha256: str
    micro_ap: float
    normalized_micro_ap: float | None = None


class NormalizedAccuracy(Strict):
    """Retrieval where each score fell by `beta` times the mean of its query's largest cosines to a training set.

    What counts within one query, recall@k and accuracy@1, is as without.
    """

    beta: float
    ranks: Literal["[0,2]"] = "[0,2]"  # of those cosines: the three largest
    num_training: int
    micro_ap: float
    micro_ap_low: float
    micro_ap_high: float
    recall_at_p90: float
    threshold_at_p90: float | None


class CopydaysAccuracy(Strict):
    """What Copydays is reported by, besides: see `retrieval.copydays`.

    `mean_ap` is by block; one that was not judged is absent.
    """

    k: int  # candidates kept per query for these figures
    mean_ap: dict[str, float]
    micro_ap_copies: float
    micro_ap_with_originals: float  # each original is a query too, and finds itself
    micro_ap_sscd: float  # the same by the trapezoid rule, as SSCD's evaluator takes it


class CalibrationOverlap(Strict):
    """An image that the artifact was calibrated on, and the query or reference that is the same photograph."""

    image: str
    other: str
    how: str  # same bytes, or looks the same


class Accuracy(Strict):
    """Retrieval with this artifact's descriptors, and everything the figure means nothing without.

    A part that is None has its reason in `not_measured`.
    """

    evidence: Evidence = "measured"
    dataset: str
    dataset_sha256: Sha256
    num_references: int
    num_queries: int
    num_positives: int
    num_skipped: int  # images that could not be read
    k: int  # candidates kept per query
    codec: Literal["Flat"] = "Flat"
    score_normalization: Literal["none"] = "none"
    micro_ap: float
    micro_ap_low: float  # bootstrap over queries, 95 %
    micro_ap_high: float
    recall_at_p90: float
    threshold_at_p90: float | None  # None: precision 0.9 was never reached
    recall_at_1: float
    recall_at_10: float | None = None  # None in a record of schema 1
    accuracy_at_1: float | None = None
    normalized: NormalizedAccuracy | None = None
    baseline: BaselineInfo | None
    teacher: BaselineInfo | None = None
    copydays: CopydaysAccuracy | None = None
    calibration_overlap: tuple[CalibrationOverlap, ...] = ()  # where there is one, the figures flatter the artifact
    not_measured: dict[str, str] = pydantic.Field(default_factory=dict)
