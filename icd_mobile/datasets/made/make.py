"""A dataset in the style of DISC from any photographs: our own layout, a manifest and a sheet to look at.

The same seed, photographs, Pillow and numpy give the same bytes, whatever the number of processes and whether the
photographs come as a folder or a tar (but for the source's name, in the manifest and on the sheet). Memory does not
grow with their size: each process holds a photograph and a background at a time.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from icd_mobile.datasets.csv_files import write_csv
from icd_mobile.datasets.ground_truth import write_ground_truth
from icd_mobile.datasets.made.edit_chains import edited_copy, limited
from icd_mobile.datasets.made.manifest import count_roles, write_manifest
from icd_mobile.datasets.made.photos import Photo, PhotoSource, read_photos
from icd_mobile.datasets.made.plan import SetPlan, Settings, check_settings, make_plan
from icd_mobile.datasets.made.preview import write_preview
from icd_mobile.datasets.own_layout import EDITS_NAME, GROUND_TRUTH_NAME
from icd_mobile.errors import InputError
from icd_mobile.parallel import parallel_map
from icd_mobile.pictures.preprocessing import UnreadableImageError, read_rgb

JPEG_QUALITY = 95  # a quarter of a PNG's bytes, and far above the quality of the `jpeg` edit: 3..30
EDITED_AT = 2  # queries are edited at this many times the written size, so that a crop of them keeps some detail

OnImage = Callable[[str, int, int], None]


@dataclass(frozen=True)
class MadeDataset:
    """What was written."""

    folder: Path
    plan: SetPlan
    source: PhotoSource


@dataclass(frozen=True)
class _Job:
    """One picture to write; `edits` empty: as it is."""

    photo: Photo
    path: Path
    size_px: int
    background: Photo | None = None
    edits: tuple[str, ...] = ()
    seed: tuple[int, int] = (0, 0)


def make_dataset(
    images: Path,
    out: Path,
    seed: int,
    settings: Settings,
    on_image: OnImage = lambda _what, _done, _all: None,
    num_workers: int = 1,
) -> MadeDataset:
    """Build a dataset from a folder or tar of photographs into the new folder `out`, whole or not at all.

    `on_image` is called with what is being done, the number of images done and the number of all. With `num_workers`
    over 1, a script that calls this needs `if __name__ == "__main__":`, as for every process that Python spawns.

    Raises:
        InputError: settings out of range, `out` exists or lies in `images`, no or too few images, or more than half of
            them do not decode.
        OSError: `out` cannot be written.
    """
    check_settings(settings)
    _check_out(images, out)
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    spool_dir = temporary / "spool"
    try:
        spool_dir.mkdir(parents=True)
        source = read_photos(images, spool_dir, num_workers, lambda done, total: on_image("reading", done, total))
        plan = make_plan(source.photos, seed, settings)
        _write_images(temporary, plan, settings, on_image, num_workers)
        write_ground_truth(
            temporary / GROUND_TRUTH_NAME,
            [query.query_id for query in plan.queries],
            [(query.query_id, query.reference_id) for query in plan.queries if query.reference_id],
        )
        write_csv(
            temporary / EDITS_NAME,
            ("query_id", "edits"),
            ((query.query_id, " + ".join(query.edits)) for query in plan.queries),
        )
        write_manifest(temporary, source, plan, seed, settings)
        write_preview(temporary, plan, seed, title=_title(source.name, plan, seed, settings))
        shutil.rmtree(spool_dir)
        temporary.rename(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return MadeDataset(out, plan, source)


def _check_out(images: Path, out: Path) -> None:
    if out.exists() or out.is_symlink():
        raise InputError(f"--out {out} exists; choose a new folder, or remove it")
    if images.is_dir() and out.resolve().is_relative_to(images.resolve()):
        raise InputError(f"--out {out} lies in --images {images}, and would become part of it; choose another folder")


def _write_images(folder: Path, plan: SetPlan, settings: Settings, on_image: OnImage, num_workers: int) -> None:
    size_px = settings.size_px
    jobs = [_Job(photo, folder / "references" / f"{name}.jpg", size_px) for name, photo in plan.references.items()]
    jobs += [_Job(photo, folder / "training" / f"{name}.jpg", size_px) for name, photo in plan.training.items()]
    for query in plan.queries:
        path = folder / "queries" / f"{query.query_id}.jpg"
        jobs.append(_Job(query.photo, path, size_px, query.background, query.edits, query.seed))
    for part in {job.path.parent for job in jobs}:
        part.mkdir()
    for index, _ in enumerate(parallel_map(_write_image, jobs, num_workers)):
        on_image("writing", index + 1, len(jobs))


def _write_image(job: _Job) -> None:
    image = _open(job.photo)
    if job.edits:
        background = _open(job.background) if job.background else image
        rng = np.random.default_rng(job.seed)
        image = edited_copy(image, background, job.edits, rng, EDITED_AT * job.size_px)
    limited(image, job.size_px).save(job.path, "JPEG", quality=JPEG_QUALITY)


def _open(photo: Photo) -> Image.Image:
    try:
        return read_rgb(photo.path)
    except UnreadableImageError as error:
        raise InputError(f"{photo.name} changed while the dataset was made ({error}); run it again") from error


def _title(source: str, plan: SetPlan, seed: int, settings: Settings) -> str:
    num = count_roles(plan)
    return (
        f"{source}, seed {seed}, {settings.strength}: {num['queries']:,} queries, {num['queries_with_a_match']:,} of "
        f"them copies, {num['references']:,} references"
    )
