"""`python -m distill.comparison.throughput`: what does the training loop cost beside the training itself?

Three rates of the same student, batch and size, taken in turns in one process so that a busy machine slows all alike:

- bare: forward, losses, backward and optimiser step on one batch that is held in memory;
- loop: the trainer as it runs, on a teacher cache: loader, views, descriptors, Lightning, logs and progress;
- online: the bare step with a ResNet-50 teacher at 224 px before it, which describes the batch; no loader.

The medians of the rounds' ratios must be: loop over bare >= 0.90, loop over online >= 3. Without worker processes the
loader's work is all in the loop. The pictures are made by code, and the teachers have random weights: neither changes a
duration.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from icd_mobile.allocator import keep_freed_memory
from icd_mobile.cli import one_line_errors
from icd_mobile.errors import GateError

if TYPE_CHECKING:
    from distill.configs.config import RunConfig

LOWEST_OF_BARE, LOWEST_OF_ONLINE = 0.90, 3.0
NUM_PHOTOS, NUM_STORED_VIEWS = 64, 4

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def bench_config(student: str, size_px: int, batch_size: int, num_rounds: int, steps: int, folder: Path) -> RunConfig:
    """A run that is long enough for the rounds: contrastive losses, and distillation from a bank."""
    from distill.comparison.throughput_rounds import NUM_WARMUPS, TEACHER_DIM
    from distill.configs.config_files import read_config, with_overrides

    steps_per_epoch = NUM_PHOTOS // batch_size
    epochs = -(-(NUM_WARMUPS + num_rounds * steps + 1) // steps_per_epoch) + 1
    words = [
        "name=throughput",
        "losses=[{name: infonce}, {name: koleo}, {name: similarity_distillation, bank_size: 8192}]",
        "ema_decay=0.999",
        f"student={{name: {student}, input_size_px: {size_px}, trunk: random, wide_dim: {TEACHER_DIM}}}",
        f"data={{augmentation: none, size_px: {size_px}}}",
        f"teacher={{name: bench, cache: {json.dumps(str(folder / 'cache'))}}}",
        f"batch_size={batch_size}",
        f"epochs={epochs}",
        "warmup_epochs=0",
        "validation.dataset=null",
    ]
    return with_overrides(read_config("default"), words)


def make_inputs(folder: Path, size_px: int) -> None:
    """Pictures made by code, and a cache of views of them with random descriptors."""
    from distill.comparison.throughput_rounds import random_teacher
    from distill.teacher_cache.make import build_cache, cache_key
    from icd_mobile.datasets.sample_pictures import procedural_picture
    from icd_mobile.pictures.collection import open_photos

    pictures = folder / "pictures"
    pictures.mkdir()
    for seed in range(NUM_PHOTOS):
        procedural_picture(seed, (320, 240)).save(pictures / f"{seed:03d}.jpg")
    photos = open_photos(pictures).photos
    teacher = random_teacher(size_px)
    key = cache_key(photos, "none", 0, NUM_STORED_VIEWS, size_px, teacher)
    build_cache(folder / "cache", photos, teacher, key)


@app.command(
    help="Compare the training loop with its bare steps, and with an online ResNet-50 teacher; exit 1 under the bars.",
    epilog="Example: python -m distill.comparison.throughput --student mobilenetv3_large --size 224",
)
def main(
    student: Annotated[str, typer.Option(help="Whose steps.")] = "efficientnet_lite0",
    size: Annotated[int, typer.Option(help="Side of the views in px.")] = 160,
    batch: Annotated[int, typer.Option(min=2, max=NUM_PHOTOS, help="Images a step, two views each.")] = 8,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of the three in turns.")] = 9,
    steps: Annotated[int, typer.Option(min=1, help="Steps of each in a round.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="One object on standard output, nothing else there.")] = False,
) -> None:
    with one_line_errors(), tempfile.TemporaryDirectory() as place:
        keep_freed_memory()
        from distill.comparison.throughput_rounds import run_rounds

        folder = Path(place)
        make_inputs(folder, size)
        found = run_rounds(bench_config(student, size, batch, rounds, steps, folder), folder, rounds, steps)
        result: dict[str, str | int | float] = {
            "student": student,
            "size_px": size,
            "images_per_step": batch,
            "views_per_step": 2 * batch,
            "bare_images_per_s": batch / statistics.median(found.bare_s),
            "loop_images_per_s": batch / statistics.median(found.loop_s),
            "online_images_per_s": batch / statistics.median(found.online_s),
            "loop_of_bare": found.of_bare,
            "loop_of_online": found.of_online,
            "evidence": "measured",
        }
        if as_json:
            typer.echo(json.dumps(result))
        else:
            for name, value in result.items():
                typer.echo(f"{name:<20} {value:.3f}" if isinstance(value, float) else f"{name:<20} {value}")
        if found.of_bare < LOWEST_OF_BARE or found.of_online < LOWEST_OF_ONLINE:
            raise GateError(
                f"the loop needs {LOWEST_OF_BARE:.2f} of the bare rate and {LOWEST_OF_ONLINE:g} times the online one, "
                f"got {found.of_bare:.3f} and {found.of_online:.2f}; run again on an idle machine first"
            )


if __name__ == "__main__":
    app(prog_name="python -m distill.comparison.throughput")
