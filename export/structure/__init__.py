"""What a phone's accelerators would take of an artifact, read from its graph: what stands in where there is no phone.

A phone that runs it has the last word: drivers refuse what their lists promise, and no structure is a time.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from export.bundle.manifest import StructureCheck

# target -> the function that reads its artifacts; imported when used. TorchScript hands its graph to nobody.
CHECKERS: dict[str, str] = {
    "onnx": "export.structure.onnx:check_onnx",
    "coreml": "export.structure.coreml:check_coreml",
    "tflite": "export.structure.tflite:check_tflite",
    "executorch": "export.structure.executorch:check_executorch",
}


def check_structure(target: str, model_path: Path) -> tuple[StructureCheck, ...]:
    """One check for each backend that this target's runtime can hand a graph to; () for a target without one.

    A package that is missing, or whose inner parts have moved, costs the check and never the export.
    """
    if target not in CHECKERS:
        return ()
    from export.bundle.manifest import StructureCheck

    module_name, function_name = CHECKERS[target].split(":")
    try:
        checker: Callable[[Path], tuple[StructureCheck, ...]] = getattr(
            importlib.import_module(module_name), function_name
        )
        return checker(model_path)
    except Exception as error:  # noqa: BLE001 (inner parts of four packages, which promise nothing of them)
        first_line = (str(error).strip().splitlines() or [""])[0]
        why = f"its graph was not read ({type(error).__name__}: {first_line[:160]})"
        return (StructureCheck(backend=target, evidence="not measured", source=why),)


def summary(checks: Sequence[StructureCheck]) -> str:
    """All checks of an artifact in one line; `StructureCheck.line` has what they leave, and who says so."""
    return "; ".join(
        f"{one.backend} {one.num_taken} of {one.num_ops} ops in {one.num_partitions}"
        if one.num_partitions is not None
        else one.line()
        for one in checks
    )
