"""icd-mobile's Python interface: what a person may import and rely on. Everything else is internal (docs/python.md).

    from icd_mobile import describe, micro_ap, nearest

Nothing is imported before it is used. This file is the front door, not the ground floor: it alone may name what stands
in the packages above it.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.records.latency import PRESETS
    from bench.records.record import Record
    from bench.run.run import RunPlan, run_bench
    from export.describer import Describer, describe, open_bundle, open_checkpoint
    from icd_mobile.datasets.dataset import Dataset
    from icd_mobile.datasets.read import read_dataset
    from icd_mobile.errors import GateError, InputError, OutsideError
    from icd_mobile.retrieval.accuracy import judge
    from icd_mobile.retrieval.micro_ap import Candidates, micro_ap
    from icd_mobile.retrieval.result import Accuracy
    from icd_mobile.retrieval.search import nearest

_PLACES = {
    "PRESETS": "bench.records.latency",
    "Accuracy": "icd_mobile.retrieval.result",
    "Candidates": "icd_mobile.retrieval.micro_ap",
    "Dataset": "icd_mobile.datasets.dataset",
    "Describer": "export.describer",
    "GateError": "icd_mobile.errors",
    "InputError": "icd_mobile.errors",
    "OutsideError": "icd_mobile.errors",
    "Record": "bench.records.record",
    "RunPlan": "bench.run.run",
    "describe": "export.describer",
    "judge": "icd_mobile.retrieval.accuracy",
    "micro_ap": "icd_mobile.retrieval.micro_ap",
    "nearest": "icd_mobile.retrieval.search",
    "open_bundle": "export.describer",
    "open_checkpoint": "export.describer",
    "read_dataset": "icd_mobile.datasets.read",
    "run_bench": "bench.run.run",
}

__all__ = [
    "PRESETS",
    "Accuracy",
    "Candidates",
    "Dataset",
    "Describer",
    "GateError",
    "InputError",
    "OutsideError",
    "Record",
    "RunPlan",
    "describe",
    "judge",
    "micro_ap",
    "nearest",
    "open_bundle",
    "open_checkpoint",
    "read_dataset",
    "run_bench",
]


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module 'icd_mobile' has no attribute '{name}'; it offers {', '.join(__all__)}")
    package = _PLACES[name].partition(".")[0]
    found = importlib.import_module(package).__file__
    if found is None or Path(found).resolve().parents[1] != Path(__file__).resolve().parents[1]:
        raise ImportError(
            f"icd-mobile's package '{package}' is hidden by {found or 'a folder of that name'}: rename that, or run "
            "where it is not on Python's path"
        )
    return getattr(importlib.import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return __all__
