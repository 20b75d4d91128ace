"""An artifact opened by its runtime on this computer, or by the reference evaluator that stands in for it."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import cast

from export.runtimes import REFERENCES, RUNTIMES, Session, why_no_runtime
from icd_mobile.errors import OutsideError
from icd_mobile.evidence import Evidence


def open_session(target: str, model_path: Path, num_threads: int) -> tuple[Session, Evidence]:
    """The session, and whether what it gives is measured or a reference's.

    Raises:
        OutsideError: the target's runtime is not here, nor a reference.
    """
    if why_no_runtime(target):
        return open_reference(target, model_path, num_threads), "reference"
    module_name, package = RUNTIMES[target]
    try:
        runtime = importlib.import_module(f"export.runtimes.{module_name}")
    except ImportError as error:
        raise OutsideError(f"{package} is not installed: pip install {package}") from error
    return _load(runtime, model_path, num_threads), "measured"


def open_reference(target: str, model_path: Path, num_threads: int) -> Session:
    """The session of the target's reference evaluator.

    Raises:
        OutsideError: it has none.
    """
    if target not in REFERENCES:
        raise OutsideError(why_no_runtime(target))
    return _load(importlib.import_module(REFERENCES[target]), model_path, num_threads)


def _load(runtime: ModuleType, model_path: Path, num_threads: int) -> Session:
    return cast(Session, runtime.load(model_path, num_threads))
