"""From a file to a teacher: what a file is stands in its tensors, not in its name."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open

from distill.students.checkpoint import HEADER_KEY, open_student
from distill.students.student import STUDENTS
from distill.teachers.catalogue import TeacherSpec, named_teachers, published_file, split_size, unknown_teacher
from distill.teachers.dino import backbone_state, build_dino_resnet, build_dino_vit
from distill.teachers.dinov2 import build_dinov2, is_dinov2
from distill.teachers.files import read_tensors
from distill.teachers.imagenet import build_lite2, is_packaged
from distill.teachers.sscd import build_sscd, is_sscd
from distill.teachers.teacher import Network, Teacher
from distill.teachers.vit import is_vit
from distill.teachers.whitening import WHITENED_KEY, read_whitened, whitened
from icd_mobile.download import download, file_sha256
from icd_mobile.errors import InputError, OutsideError

STUDENT_PREFIX = "student:"
_SUFFIXES = frozenset({".pt", ".pth", ".ckpt", ".safetensors", ".onnx"})
MIN_SIZE_PX = 32  # the stride of the convolutional trunks


def open_teacher(name_or_path: str, input_size_px: int | None = None) -> Teacher:
    """Behind `distill.teachers.open_teacher`, which says what it takes and raises."""
    reference, size_px = split_size(name_or_path)
    if size_px is not None and input_size_px not in {None, size_px}:
        raise InputError(f"{name_or_path} and a size of {input_size_px} px say two sizes; leave out one")
    size_px = size_px or input_size_px
    if reference.startswith(STUDENT_PREFIX):
        return _open_student(reference.removeprefix(STUDENT_PREFIX), size_px)
    published = named_teachers()
    if reference in published:
        return _open_published(published[reference], size_px)
    path = Path(reference)
    if path.is_file() or path.name != reference or path.suffix in _SUFFIXES:
        return _open_file(path, size_px)
    raise unknown_teacher(reference)


def _open_published(spec: TeacherSpec, input_size_px: int | None) -> Teacher:
    second = named_teachers().get(spec.second or "")
    if second is not None and not spec.is_here and second.is_here:
        return _open_published(second, input_size_px)
    path, sha256 = _published_path(spec, second)
    # An ONNX graph of any size has none of its own; a network's builder knows better than this table.
    size_px = input_size_px or (spec.input_size_px if path.suffix == ".onnx" and spec.package else None)
    network = _network(path, size_px, spec)
    if network.descriptor_dim != spec.descriptor_dim:
        raise InputError(
            f"{path} gives {network.descriptor_dim} dimensions, {spec.name} has {spec.descriptor_dim}: it is another "
            f"teacher's file; remove it"
        )
    return Teacher(spec.name, network, sha256, spec.licence, spec.url)


def _published_path(spec: TeacherSpec, second: TeacherSpec | None) -> tuple[Path, str]:
    """The file and its sha256, checked where it is pinned."""
    if spec.package is not None:
        path = spec.package.path(f"teacher {spec.name}")
        sha256 = file_sha256(path)
        if spec.sha256 not in {None, sha256}:
            raise InputError(
                f"{path} is not the file of {spec.package.requirement} (sha256 {sha256}, not {spec.sha256}): the "
                f"package is of another version, or was changed; {spec.package.install}"
            )
        return path, sha256
    try:
        what = f"teacher {spec.name}"
        return spec.path, download(spec.url, spec.path, sha256=spec.sha256, num_bytes=spec.num_bytes, what=what)
    except OutsideError as error:
        if second is None or second.package is None:
            raise
        raise OutsideError(f"{error}; or take it in int8 from a package: {second.package.install}") from error


def _open_file(path: Path, input_size_px: int | None) -> Teacher:
    if not path.is_file():
        raise InputError(f"no teacher's file at {path}; check the path, or give a name of `python -m distill teachers`")
    header = _header(path)
    if HEADER_KEY in header:
        return _open_student(str(path), input_size_px)
    if WHITENED_KEY in header:
        return _open_whitened(path, input_size_px)
    return Teacher(path.name, _network(path, input_size_px), file_sha256(path), "not stated", f"file {path.name}")


def _header(path: Path) -> dict[str, str]:
    if path.suffix != ".safetensors":
        return {}
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is not a readable safetensors file ({error}); copy it again") from error


def _network(path: Path, input_size_px: int | None, spec: TeacherSpec | None = None) -> Network:
    """By what the file holds; only an ONNX graph goes by its name, and is scaled for as its publisher says."""
    if input_size_px is not None and input_size_px < MIN_SIZE_PX:
        raise InputError(f"a teacher takes images of {MIN_SIZE_PX} px or more, got {input_size_px}")
    if path.suffix == ".onnx":
        from distill.teachers.onnx_contract import Note
        from distill.teachers.onnx_file import build_onnx  # the one teacher that needs ONNX Runtime

        spec = spec or published_file(path.name)
        if spec is None or not spec.is_bicubic:
            return build_onnx(path, input_size_px)
        return build_onnx(path, input_size_px, Note(pixels="imagenet", resample="bicubic"))  # DINO's, as its .pth
    state, what = read_tensors(path), f"the tensors of {path}"
    if is_sscd(state):
        return build_sscd(state, what, input_size_px)
    if is_packaged(state):
        return build_lite2(state, what, input_size_px)
    state = backbone_state(state)
    if is_vit(state):
        build_vit = build_dinov2 if is_dinov2(state) else build_dino_vit
        return build_vit(state, what, input_size_px)
    if "layer4.2.conv3.weight" in state:
        return build_dino_resnet(state, what, input_size_px)
    raise InputError(f"{path} holds none of the networks known here: needed SSCD's, DINO's or DINOv2's tensors")


def _open_student(reference: str, input_size_px: int | None) -> Teacher:
    if reference in STUDENTS:
        raise InputError(f"student '{reference}' has no weights of its own; name a checkpoint: {STUDENT_PREFIX}default")
    checkpoint = open_student(reference)
    card = checkpoint.card
    if input_size_px not in {None, card.input_size_px}:
        raise InputError(f"student {reference} was made for {card.input_size_px} px, not {input_size_px}")
    network = Network(checkpoint.model, card.descriptor_dim, card.input_size_px, card.mean, card.std)
    # The card travels to other machines, so the name is never a path of this one.
    is_path = Path(reference).is_file()
    name = Path(reference).name if is_path else f"{STUDENT_PREFIX}{reference}"
    return Teacher(name, network, checkpoint.weights_sha256, card.licence, card.recipe)


def _open_whitened(path: Path, input_size_px: int | None) -> Teacher:
    card, weight, bias = read_whitened(path)
    if input_size_px not in {None, card.input_size_px}:
        raise InputError(f"{path} was fitted at {card.input_size_px} px, not {input_size_px}; fit it again")
    beside = path.parent / card.teacher
    base = open_teacher(str(beside) if beside.is_file() else card.teacher, card.input_size_px)
    if base.weights_sha256 != card.teacher_sha256:
        raise InputError(f"{path} was fitted on other weights of {card.teacher} than are here; fit it again")
    return Teacher(path.name, whitened(base.network, weight, bias), file_sha256(path), base.licence, base.source)
