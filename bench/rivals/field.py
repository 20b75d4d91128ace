"""Who takes part in a head to head: everything that is asked for, opened, or why it is absent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.artifacts.artifact import find_bundles
from bench.rivals.contender import Absent, Contender
from bench.rivals.hashes import HASHES, hash_contender
from bench.rivals.networks import rival_contender, student_contender, teacher_contender

NONE = "none"
STUDENT_COMMAND = "python -m export --target onnx --precision int8"


def line_up(
    bundles: Sequence[Path], teacher: str, rivals: Sequence[str], folder: Path
) -> tuple[Contender | Absent, ...]:
    """Students first, then rivals, the teacher and the hashes; `folder` holds what is made to open them.

    Raises:
        InputError: a bundle, a teacher's or a rival's file that cannot be opened.
    """
    found: list[Contender | Absent] = [student_contender(path) for path in find_bundles(bundles)] if bundles else []
    if not found:
        found.append(Absent("a student's bundle", "student", f"none is given; make one: {STUDENT_COMMAND}"))
    found += [rival_contender(reference) for reference in rivals if reference != NONE]
    if teacher != NONE:
        found.append(teacher_contender(teacher, folder))
    return (*found, *(hash_contender(name, spec) for name, spec in HASHES.items()))
