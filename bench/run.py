"""One bench run: the baseline and every bundle, measured one after the other, each with a record."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.accuracy import readable_images
from bench.artifacts import Artifact, baseline_artifact, bundle_artifact, find_bundles
from bench.datasets import Dataset, PixelFile, pixels_of, read_dataset
from bench.examples import write_examples
from bench.latency import Preset
from bench.passes import Plan, measure
from bench.prepared import dataset_place
from bench.records import BaselineInfo, Record, write_record
from bench.sample import build_sample
from bench.screen import Screen
from devices.base import Device, open_device
from distill.errors import InputError

SAMPLE = "sample"
NO_BASELINE = "none"
PIXELS_FOLDER = "pixels"


@dataclass(frozen=True)
class RunPlan:
    """What a bench run was asked to do."""

    bundles: list[Path]
    device: str
    dataset: str
    datasets_dir: Path
    preset: Preset
    num_threads: int
    baseline: str
    records_dir: Path


def run_bench(plan: RunPlan, screen: Screen) -> list[tuple[Record, Path]]:
    """Measure the baseline on this computer and every bundle on the device; returns each record and its file.

    Everything that can be wrong with the request is looked for before the first measurement.

    Raises:
        InputError: no bundle, a damaged one, an unknown dataset, or a folder that cannot be written.
        GateError: a bundle's model is not the one that was exported.
        DeviceError: no such device, or it cannot be reached.
    """
    artifacts = [bundle_artifact(bundle) for bundle in find_bundles(plan.bundles)]
    with (
        tempfile.TemporaryDirectory() as temporary,
        open_device(plan.device) as device,
        open_device("host") as host,
    ):
        jobs: list[tuple[Device, Artifact]] = [(device, artifact) for artifact in artifacts]
        if plan.baseline != NO_BASELINE:
            jobs.insert(0, (host, baseline_artifact(plan.baseline, Path(temporary))))
        dataset, pixels = _prepare(plan, {artifact.info.input_size_px for _, artifact in jobs}, screen)
        baseline: BaselineInfo | None = None
        done = []
        for index, (place, artifact) in enumerate(jobs):
            screen.begin(index, len(jobs), f"{artifact.info.target} {artifact.info.precision}")
            how = Plan(plan.preset, plan.num_threads, dataset, pixels[artifact.info.input_size_px], baseline)
            record = measure(place, artifact, how, screen.on_progress)
            if index == 0 and plan.baseline != NO_BASELINE and record.accuracy:
                baseline = BaselineInfo(
                    name=record.artifact.name,
                    weights_sha256=record.artifact.weights_sha256,
                    micro_ap=record.accuracy.micro_ap,
                )
            done.append((record, write_record(record, plan.records_dir)))
            screen.finished(record)
        write_examples(dataset, plan.records_dir)
        return done


def _prepare(plan: RunPlan, sizes_px: set[int], screen: Screen) -> tuple[Dataset, dict[int, PixelFile]]:
    """The dataset, and its pixels at each input size; the folder for the records is there afterwards."""
    if plan.dataset == SAMPLE:
        folder = build_sample(
            plan.datasets_dir, lambda done, total: screen.preparing("making the sample (once)", done, total)
        )
    else:
        folder = dataset_place(plan.dataset, plan.datasets_dir)
    dataset = read_dataset(folder)
    _make_folder(plan.records_dir)
    cache_dir = plan.datasets_dir / PIXELS_FOLDER
    pixels = {
        size: pixels_of(dataset, size, cache_dir, lambda done, total: screen.preparing("preprocessing", done, total))
        for size in sorted(sizes_px)
    }
    first = next(iter(pixels.values()))
    for index, reason in zip(first.unreadable, first.reasons, strict=True):
        screen.warn(f"{dataset.images[index]} is left out: {reason}")
    readable_images(dataset, first.unreadable)
    return dataset, pixels


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write {folder} ({error.strerror}); choose another --out") from error
