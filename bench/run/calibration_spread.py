"""How much an int8 artifact depends on the photographs it was calibrated on: two disjoint halves give two models.

Where the two are further apart than what a precision may lose, a search for a better recipe would fit the photographs.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.artifacts import remote
from bench.artifacts.artifact import Artifact, bundle_artifact
from bench.descriptors.fill import EmbedPlan, fill, store_of
from devices.base import Device
from distill.students.checkpoint import Checkpoint
from export.bundle.manifest import CalibrationImage
from export.calibration.disjoint import check_apart
from export.calibration.images import MAX_IMAGES, ReadImage, is_blank, look_bits, read_image
from export.pipeline import export_bundles
from icd_mobile.datasets.dataset import Dataset
from icd_mobile.datasets.image_paths import JoinedPaths
from icd_mobile.datasets.pixel_files import dataset_source
from icd_mobile.errors import GateError, InputError
from icd_mobile.evidence import Evidence
from icd_mobile.pictures.perceptual_hash import looks_the_same
from icd_mobile.pictures.preprocessing import UnreadableImageError, list_images
from icd_mobile.retrieval.accuracy import Compared, judge
from icd_mobile.retrieval.result import Accuracy

NUM_HALVES = 2
MIN_IMAGES = 2  # in each half, as for every calibration set
OnStep = Callable[[str], None]


@dataclass(frozen=True)
class SpreadPlan:
    """What is exported and judged. Both bundles stay, in `out/half-1` and `out/half-2`."""

    checkpoint: Checkpoint
    target: str
    calibration: Path
    dataset: Dataset
    embedding: EmbedPlan
    out: Path


@dataclass(frozen=True)
class Half:
    """The model that one half of the photographs gave."""

    bundle_dir: Path
    num_images: int
    accuracy: Accuracy


@dataclass(frozen=True)
class Spread:
    """Both models, judged on the same dataset."""

    student: str
    target: str
    evidence: Evidence
    halves: tuple[Half, ...]

    @property
    def micro_ap(self) -> float:
        """How far apart the micro-AP of the two lies."""
        found = [half.accuracy.micro_ap for half in self.halves]
        return max(found) - min(found)


@dataclass(frozen=True)
class _Photo:
    path: Path
    info: CalibrationImage


def calibration_spread(plan: SpreadPlan, device: Device, on_step: OnStep) -> Spread:
    """Export the student twice, once from each half of the photographs, and judge both.

    `on_step` hears of what is being done, in words.

    Raises:
        InputError: too few different photographs, or some that the dataset judges.
        GateError: an export that failed, or one whose artifact does not run.
        OutsideError: the target's runtime is missing.
    """
    halves = split_photos(plan.calibration, on_step)
    _check_apart(plan, [photo for half in halves for photo in half], on_step)
    bundles = [_export(plan, number, half, on_step) for number, half in enumerate(halves, start=1)]
    done = tuple(
        Half(bundle, len(half), _judge(plan, device, bundle_artifact(bundle), on_step))
        for half, bundle in zip(halves, bundles, strict=True)
    )
    return Spread(plan.checkpoint.card.student, plan.target, done[0].accuracy.evidence, done)


def split_photos(folder: Path, on_step: OnStep = lambda _what: None) -> tuple[list[_Photo], ...]:
    """Two lists of at most 32 photographs, none of which is, or is a copy of, another of either list.

    Files are taken in the order of their hashes, to each list in turn, whatever their names: the same photographs give
    the same halves.

    Raises:
        InputError: no folder of images, or less than two different photographs for each half.
    """
    files = list_images(folder) if folder.is_dir() else []
    if not files:
        raise InputError(f"--calibration needs a folder of photographs, got {folder}, which is none or holds none")
    on_step(f"hashing {len(files)} photographs")
    by_hash = sorted((hashlib.sha256(path.read_bytes()).hexdigest(), path) for path in files)
    halves: tuple[list[_Photo], ...] = ([], [])
    for index, photo in enumerate(_different(path for _, path in by_hash)):
        if index == NUM_HALVES * MAX_IMAGES:
            break
        halves[index % NUM_HALVES].append(photo)
    if len(halves[-1]) < MIN_IMAGES:
        num_usable = sum(map(len, halves))
        raise InputError(
            f"--calibration folder {folder} holds {num_usable} different photographs, two halves need "
            f"{NUM_HALVES * MIN_IMAGES} at least and {NUM_HALVES * MAX_IMAGES} at best; give more"
        )
    return halves


def _different(paths: Iterator[Path]) -> Iterator[_Photo]:
    """Those that can be read, are not blank, and do not look like an earlier one."""
    kept: list[CalibrationImage] = []
    for path in paths:
        try:
            read: ReadImage = read_image(path.name, path.read_bytes())
        except UnreadableImageError:
            continue
        if is_blank(read.image) or looks_the_same(look_bits(kept), look_bits([read.info])[0]).any():
            continue
        kept.append(read.info)
        yield _Photo(path, read.info)


def _check_apart(plan: SpreadPlan, photos: Sequence[_Photo], on_step: OnStep) -> None:
    def on_image(done: int, total: int) -> None:
        on_step(f"looking for them in {plan.dataset.name}: image {done} of {total}")

    dataset = plan.dataset
    judged = JoinedPaths((dataset.queries, dataset.references))
    check_apart([photo.info for photo in photos], dataset.name, dataset.folder, judged, plan.out, on_image)


def _export(plan: SpreadPlan, number: int, photos: Sequence[_Photo], on_step: OnStep) -> Path:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / f"{plan.calibration.absolute().name}-half-{number}"
        folder.mkdir()
        for index, photo in enumerate(photos):  # names may repeat in the folders below the one given
            (folder / f"{index:02d}-{photo.path.name}").write_bytes(photo.path.read_bytes())

        def progress(_name: str, what: str) -> None:
            on_step(f"half-{number}: {what}")

        jobs = [(plan.target, "int8")]
        (outcome,) = export_bundles(plan.checkpoint, jobs, folder, plan.out / f"half-{number}", True, progress)
    if outcome.bundle_dir is None:
        raise GateError(f"half {number} was not exported to {plan.target}: {outcome.reason}")
    return outcome.bundle_dir


def _judge(plan: SpreadPlan, device: Device, artifact: Artifact, on_step: OnStep) -> Accuracy:
    half = artifact.bundle_dir.parent.name if artifact.bundle_dir else ""
    on_step(f"{half}: loading the model")
    remote.push_artifact(device, artifact)
    _, runtime = remote.cold_start(device, artifact, plan.embedding.num_threads)
    source = dataset_source(plan.dataset)
    store = store_of(plan.embedding.stores_dir, device.facts().name, artifact.info, runtime, source)

    def on_pixels(done: int, total: int) -> None:
        on_step(f"{half}: preprocessing image {done} of {total}")

    def on_image(done: int, total: int) -> None:
        on_step(f"{half}: embedding image {done} of {total}")

    fill(store, device, artifact, source, plan.embedding, on_pixels, on_image)
    unreadable = tuple(skipped.row for skipped in store.skipped())
    accuracy = judge(store.descriptors(), plan.dataset, unreadable, Compared(None, None, "none was asked for"))
    return accuracy.model_copy(update={"evidence": artifact.evidence})
