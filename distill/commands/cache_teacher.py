"""`python -m distill cache-teacher`: draw and describe views once, for many epochs and students."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from distill.augmentations import AUGMENTATIONS, open_augmentation
from icd_mobile.allocator import keep_freed_memory
from icd_mobile.cli import one_line_errors
from icd_mobile.errors import InputError, OutsideError

HELP = (
    "Make a teacher cache: K augmented views of each photograph, with the teacher's descriptors of them.\n\n"
    "It pays where the teacher costs more than the student: on a CPU, or for several students. The same command goes "
    "on where a stopped one was."
)
EXAMPLES = "\n\n".join(
    [
        "Example: python -m distill cache-teacher --images photos --teacher student:default --out cache",
        "Example: python -m distill cache-teacher --images photos.tar --teacher sscd_disc_mixup.torchvision "
        "--augmentation copy --views 8 --size 128 --out cache --json",
    ]
)
SKIPPED_FILE = "skipped.csv"


def cache_teacher(
    images: Annotated[Path, typer.Option(help="A folder of images, or an uncompressed tar of them.")],
    teacher: Annotated[str, typer.Option(help="A teacher by name or file; see `teachers`.")],
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    augmentation: Annotated[str, typer.Option(help=f"One of {', '.join(AUGMENTATIONS)}.")] = "advanced",
    views: Annotated[int, typer.Option(min=1, max=1000, help="Views K of each photograph.")] = 8,
    size: Annotated[int, typer.Option(min=64, max=512, help="Side S of the stored views in px: the student's.")] = 224,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other views.")] = 0,
    teacher_size: Annotated[
        int | None, typer.Option(min=32, max=1024, help="Side of the teacher's pictures in px.", show_default="its own")
    ] = None,
    device: Annotated[Literal["cpu", "cuda"], typer.Option(help="Where the teacher runs.")] = "cpu",
    workers: Annotated[int, typer.Option(min=0, help="Processes that draw views; 0 draws in this one.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One object on standard output, nothing else there.")] = False,
) -> None:
    """Registered with `HELP` and `EXAMPLES` by `distill.__main__`."""
    with one_line_errors():
        keep_freed_memory()
        if out.exists() and not out.is_dir():
            raise InputError(f"--out needs a folder, got the file {out}; choose another")
        import torch

        from distill.teacher_cache.key import KEY_FILE, check_fits, read_key
        from distill.teacher_cache.make import build_cache, cache_key
        from distill.teacher_cache.shards import missing_shards
        from distill.teachers import open_teacher
        from icd_mobile.pictures.collection import open_photos

        if device == "cuda" and not torch.cuda.is_available():
            raise OutsideError("--device cuda needs a CUDA device, and PyTorch sees none; use --device cpu")
        open_augmentation(augmentation)  # a mistyped name before the photographs are read
        opened_teacher = open_teacher(teacher, input_size_px=teacher_size)
        if (out / KEY_FILE).exists():  # before the photographs are read, and before what is left out is written there
            check_fits(
                out,
                read_key(out),
                augmentation=augmentation,
                seed=seed,
                num_views=views,
                size_px=size,
                teacher=opened_teacher.name,
                teacher_weights_sha256=opened_teacher.weights_sha256,
                teacher_size_px=opened_teacher.input_size_px,
            )
        opened = open_photos(images, out / SKIPPED_FILE)
        if opened.skipped:
            print(
                f"left out {opened.num_corrupt:,} corrupt and {opened.num_duplicates:,} duplicate images of "
                f"{opened.num_files:,}, listed in {out / SKIPPED_FILE}",
                file=sys.stderr,
            )
        key = cache_key(opened.photos, augmentation, seed, views, size, opened_teacher)
        num_made = len(missing_shards(out, key))
        build_cache(out, opened.photos, opened_teacher, key, num_workers=workers, device=torch.device(device))
        num_bytes = sum(path.stat().st_size for path in out.glob("shard-*.npy"))
        if as_json:
            facts = {"num_corrupt": opened.num_corrupt, "num_duplicates": opened.num_duplicates}
            sizes = {"num_shards_made": num_made, "num_bytes": num_bytes}
            typer.echo(json.dumps({"out": str(out)} | key.model_dump() | facts | sizes))
        else:
            typer.echo(
                f"wrote {out}: {key.num_photos:,} photographs x {views} views of {size} px with {key.descriptor_dim}-d "
                f"descriptors of {key.teacher}, {num_bytes / 1e6:,.0f} MB"
            )
