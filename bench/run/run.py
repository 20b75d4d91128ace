"""One bench run: what is compared with and every bundle, measured one after the other, then against each other."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.artifacts.artifact import Artifact, bundle_artifact, find_bundles
from bench.artifacts.reference_artifacts import reference_artifacts
from bench.descriptors.fill import EmbedPlan, store_of
from bench.records.compatibility import Compatibility, write_compatibility
from bench.records.examples import write_examples
from bench.records.latency import PRESETS, Preset
from bench.records.record import BASELINE_TARGET, REFERENCE_TARGETS, TEACHER_TARGET, ArtifactInfo, Record
from bench.records.record_files import write_record
from bench.run.calibration_overlap import find_calibration_overlap
from bench.run.cross_search import Embedded, cross_search
from bench.run.passes import Plan, measure
from bench.run.screen import Screen
from bench.run.stability import stability_source
from bench.run.thresholds import write_threshold
from devices.base import Device, open_device
from export.bundle.write_accuracy import check_can_rewrite
from icd_mobile.datasets.dataset import Dataset
from icd_mobile.datasets.pixel_files import PixelSource, dataset_source
from icd_mobile.datasets.prepared import DATASETS_DIR, PIXELS_FOLDER, SAMPLE, dataset_place
from icd_mobile.datasets.read import read_dataset
from icd_mobile.errors import InputError
from icd_mobile.extras import require
from icd_mobile.pictures.preprocessing import UnreadableImageError, read_rgb
from icd_mobile.retrieval.accuracy import Compared
from icd_mobile.retrieval.result import Accuracy, BaselineInfo, CalibrationOverlap

THE_TEACHER = "it is the teacher itself"
NUM_NAMED = 10  # unreadable images, in warnings


@dataclass(frozen=True)
class RunPlan:
    """What a bench run is asked to do; what is not said is as the command line has it.

    `teacher` None is the one that the bundles name.
    """

    bundles: Sequence[Path]
    device: str = "host"
    dataset: str = SAMPLE
    datasets_dir: Path = DATASETS_DIR
    stores_dir: Path = Path("artifacts/descriptors")
    preset: Preset = PRESETS["quick"]
    num_threads: int = 1
    baseline: str = "default"
    teacher: str | None = None
    write_threshold: bool = False
    records_dir: Path = Path("artifacts/records")


@dataclass(frozen=True)
class RunResult:
    """Each record with its file, the matrix where two or more artifacts were judged, and what became of thresholds."""

    records: list[tuple[Record, Path]]
    compatibility: Compatibility | None
    thresholds: list[str]


@dataclass(frozen=True)
class _Job:
    device: Device
    artifact: Artifact


def run_bench(plan: RunPlan, screen: Screen | None = None) -> RunResult:
    """Measure the baseline and the teacher on this computer and every bundle on the device; silent without a screen.

    >>> [(record, path)] = run_bench(RunPlan([bundle], baseline="none", dataset=dataset, preset=preset)).records
    >>> record.accuracy.micro_ap
    1.0

    A bundle whose runtime is not to be had is computed by its reference evaluator, on this computer as well.

    Everything that can be wrong with the request is looked for before the first measurement.

    Raises:
        InputError: no bundle, a damaged one, an unknown dataset or teacher, or a folder that cannot be written.
        GateError: a bundle's model is not the one that was exported.
        OutsideError: what searches is not installed.
        DeviceError: no such device, or it cannot be reached.
    """
    require("faiss")
    screen = screen or Screen(quiet=True)
    bundles = [bundle_artifact(bundle) for bundle in find_bundles(plan.bundles)]
    if plan.write_threshold:
        for artifact in bundles:
            check_can_rewrite(artifact.bundle_dir or Path())
    with (
        tempfile.TemporaryDirectory() as temporary,
        open_device(plan.device) as device,
        open_device("host") as host,
    ):
        jobs = [_Job(host if artifact.evidence == "reference" else device, artifact) for artifact in bundles]
        references, no_teacher = reference_artifacts(plan.baseline, plan.teacher, bundles, Path(temporary))
        jobs[:0] = [_Job(host, artifact) for artifact in references]
        dataset, edited = _prepare(plan, screen)
        done = _measure_all(plan, jobs, dataset, edited, no_teacher, screen)
        write_examples(dataset, plan.records_dir)
        screen.working("searching across artifacts")
        compatibility = _cross(plan, [record for record, _ in done], dataset, device)
    thresholds = []
    if plan.write_threshold:
        for job, (record, _) in zip(jobs, done, strict=True):
            if job.artifact.bundle_dir is not None:
                thresholds.append(write_threshold(job.artifact.bundle_dir, record))
    return RunResult(done, compatibility, thresholds)


def _prepare(plan: RunPlan, screen: Screen) -> tuple[Dataset, PixelSource | str]:
    """The dataset, and its edited images or why there are none; the records' folder can be written afterwards."""

    def on_image(done: int, total: int) -> None:
        screen.preparing("making the sample (once)", done, total)

    dataset = read_dataset(dataset_place(plan.dataset, plan.datasets_dir, on_image))
    for images, kind in ((dataset.queries, "query"), (dataset.references, "reference")):
        if not any(_is_readable(path) for path in images):
            raise InputError(f"{dataset.folder} has no readable {kind}; replace these files")
    _make_folder(plan.records_dir)
    try:
        return dataset, stability_source(dataset)
    except InputError as error:
        return dataset, str(error)


def _is_readable(path: Path) -> bool:
    try:
        read_rgb(path)
    except UnreadableImageError:
        return False
    return True


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write {folder} ({error.strerror}); choose another --out") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"{folder} is not writable; choose another --out")


def _measure_all(
    plan: RunPlan,
    jobs: list[_Job],
    dataset: Dataset,
    edited: PixelSource | str,
    no_teacher: str,
    screen: Screen,
) -> list[tuple[Record, Path]]:
    """A record of each job, written as soon as it is there."""
    overlaps = [_overlap(plan, job.artifact, dataset, screen) for job in jobs]
    embedding = EmbedPlan(plan.stores_dir, plan.datasets_dir / PIXELS_FOLDER, plan.num_threads)
    known: dict[str, BaselineInfo] = {}
    done = []
    for index, (job, overlap) in enumerate(zip(jobs, overlaps, strict=True)):
        info = job.artifact.info
        screen.begin(index, len(jobs), f"{info.target} {info.precision}")
        why = THE_TEACHER if info.target == TEACHER_TARGET else no_teacher
        compared = Compared(known.get(BASELINE_TARGET), known.get(TEACHER_TARGET), why)
        its_plan = Plan(plan.preset, dataset, edited, embedding, compared, overlap)
        record = measure(job.device, job.artifact, its_plan, screen.on_progress)
        done.append((record, write_record(record, plan.records_dir)))
        screen.finished(record)
        if record.accuracy and not any(earlier.accuracy for earlier, _ in done[:-1]):
            _warn_of_unreadable(plan, record, dataset, screen)
        if record.accuracy and info.target in REFERENCE_TARGETS:
            known[info.target] = _as_baseline(info, record.accuracy)
        elif info.target == TEACHER_TARGET:
            no_teacher = f"the teacher was not judged: {record.not_measured['accuracy']}"
    return done


def _overlap(plan: RunPlan, artifact: Artifact, dataset: Dataset, screen: Screen) -> tuple[CalibrationOverlap, ...]:
    def on_image(done: int, total: int) -> None:
        screen.preparing("looking for the calibration's images (once)", done, total)

    return find_calibration_overlap(artifact.calibration or (), dataset, plan.datasets_dir / PIXELS_FOLDER, on_image)


def _warn_of_unreadable(plan: RunPlan, record: Record, dataset: Dataset, screen: Screen) -> None:
    """Name the first images that were left out; all of them are in the store."""
    assert record.runtime is not None, "what was judged has run"
    source = dataset_source(dataset)
    store = store_of(plan.stores_dir, record.device.name, record.artifact, record.runtime, source)
    skipped = store.skipped()
    for one in skipped[:NUM_NAMED]:
        screen.warn(f"{dataset.folder / one.image} is left out: {one.reason}")
    if len(skipped) > NUM_NAMED:
        screen.warn(f"and {len(skipped) - NUM_NAMED} others; all are named in {store.folder}")


def _as_baseline(info: ArtifactInfo, accuracy: Accuracy) -> BaselineInfo:
    return BaselineInfo(
        name=info.name,
        weights_sha256=info.weights_sha256,
        micro_ap=accuracy.micro_ap,
        normalized_micro_ap=accuracy.normalized.micro_ap if accuracy.normalized else None,
    )


def _cross(plan: RunPlan, records: list[Record], dataset: Dataset, device: Device) -> Compatibility | None:
    """The matrix of what was judged, each model once, written beside the records; None where that is fewer than two."""
    source = dataset_source(dataset)
    stores = [
        (record, store_of(plan.stores_dir, record.device.name, record.artifact, record.runtime, source))
        for record in {record.artifact.model_sha256: record for record in records}.values()
        if record.accuracy and record.runtime
    ]
    if len(stores) < 2:
        return None
    unreadable = tuple(skipped.row for skipped in stores[0][1].skipped())
    artifacts = [
        Embedded(record.artifact, store.descriptors(), record.accuracy.evidence)
        for record, store in stores
        if record.accuracy
    ]
    found = cross_search(artifacts, dataset, unreadable, device.facts())
    write_compatibility(found, plan.records_dir)
    return found
