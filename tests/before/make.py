"""Make `data/` and `help.json` with the code of the commit that this runs in; minutes on one core.

    python tests/before/make.py FOLDER     from the root of the repository; FOLDER must not exist

What is kept are files as the commands of that commit write them, small: pictures drawn by code, at 64 px. Three things
are done by hand. Weights are the first of each tensor over and over, so that files of megabytes pack to kilobytes;
goldens are two pictures in place of all; the device says of itself what no machine does. Files that pack well are kept
as .xz. `expected.json` has the numbers that the test looks for.
"""

from __future__ import annotations

import importlib
import json
import lzma
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest import mock

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np  # noqa: E402 (the thread count and the path come first)
import onnx  # noqa: E402
import PIL  # noqa: E402
import torch  # noqa: E402
import typer  # noqa: E402
from bench.challenge_csv import write_ground_truth  # noqa: E402
from bench.datasets import read_dataset  # noqa: E402
from bench.descriptor_store import DescriptorStore, StoreKey, open_store  # noqa: E402
from bench.latency import Preset  # noqa: E402
from bench.screen import Screen  # noqa: E402
from bench.skipped import Skipped  # noqa: E402
from distill.checkpoint import load_checkpoint, make_card, save_checkpoint  # noqa: E402
from distill.config_files import read_config  # noqa: E402
from distill.download import download  # noqa: E402
from distill.photos import open_photos  # noqa: E402
from distill.preprocessing import read_rgb, to_pixels  # noqa: E402
from distill.sample import calibration_photos, procedural_picture  # noqa: E402
from distill.start_run import begin  # noqa: E402
from distill.training_state import read_state, write_state  # noqa: E402
from distill.validation import describe_pixels  # noqa: E402
from export.golden import Golden, write_golden  # noqa: E402
from export.manifest import (  # noqa: E402
    Accuracy,
    Manifest,
    Parity,
    PixelContract,
    Quantization,
    StudentInfo,
    TensorInfo,
)
from export.model_card import CARD_NAME, model_card  # noqa: E402
from onnx import TensorProto, helper  # noqa: E402

from bench.__main__ import app as bench_app  # noqa: E402
from bench.run import RunPlan, run_bench  # noqa: E402
from devices.base import DeviceFacts  # noqa: E402
from distill.__main__ import app as distill_app  # noqa: E402
from distill.students import Student  # noqa: E402
from distill.teacher_cache import build_cache, cache_key  # noqa: E402
from distill.teachers import open_teacher  # noqa: E402
from export.__main__ import app as export_app  # noqa: E402
from export.bundle import list_files, read_manifest, write_manifest  # noqa: E402
from export.quantization.evaluator import versions  # noqa: E402

SIZE_PX, GRID, DIM = 64, 8, 64
SHAPE_PX = (96, 80)
STUDENT = "efficientnet_lite0"
FACTS = DeviceFacts("host", "computer", "a computer", "Linux", "a processor", "x86_64", 1, 2**33, "not measured", "3")
RECIPE = """name: {name}
student: {{name: efficientnet_lite0, descriptor_dim: 64, input_size_px: 64, trunk: random}}
data: {{images: few, augmentation: strong_blur, about: pictures drawn by code, licence: MIT}}
losses: {losses}
optimizer: {{name: sgd, lr: 0.01}}
epochs: {epochs}
warmup_epochs: 0.5
batch_size: 3
log_every_steps: 1
checkpoint_every_steps: 1
"""


def run(app: typer.Typer, *words: object, exit_code: int = 0) -> None:
    """One command in this process."""
    try:
        code = app([str(word) for word in words], standalone_mode=False)
    except typer.Exit as stopped:
        code = stopped.exit_code
    assert (code or 0) == exit_code, (words, code)


def draw(folder: Path, seeds: range) -> Path:
    folder.mkdir()
    for seed in seeds:
        procedural_picture(seed, SHAPE_PX).save(folder / f"{seed:03d}.jpg", quality=85)
    return folder


def tiled(value: object, length: int) -> object:
    """The same with each tensor's first values repeated over all of it; of a prime length, so that channels differ."""
    if isinstance(value, torch.Tensor):
        flat = value.flatten()
        return flat[:length].repeat(-(-flat.numel() // length))[: flat.numel()].reshape(value.shape).clone()
    if isinstance(value, Mapping):
        return {name: tiled(inner, length) for name, inner in value.items()}
    return [tiled(inner, length) for inner in value] if isinstance(value, list) else value


def make_dataset() -> None:
    run(bench_app, "make-dataset", "--images", draw(Path("photos"), range(30)), "--out", "set", "--size", SIZE_PX,
        "--strength", "easy", "--workers", 1)  # fmt: skip
    Path("set/preview.png").unlink()  # a picture for people
    Path("set/training/broken.jpg").write_bytes(b"no picture")
    draw(Path("calibration"), range(100, 104))
    words = ("--target", "onnx", "--precision", "int8", "--calibration", "set/references", "--disjoint-from", "set")
    run(export_app, *words, "--out", "overlap", exit_code=2)


def make_checkpoints() -> None:
    torch.manual_seed(0)
    student = Student(STUDENT, DIM, SIZE_PX).eval()
    student.load_state_dict(tiled(student.state_dict(), 509))  # type: ignore[arg-type]
    card = make_card(student, trunk="random", recipe="none: weights of a test", data="none", licence="MIT")
    save_checkpoint(Path("whole32.safetensors"), student, card)
    run(distill_app, "pack", "--student", "./whole32.safetensors", "--out", "checkpoints/whole.safetensors")
    Path("whole32.safetensors").unlink()
    many = draw(Path("many"), range(70))
    words = ("--data", "pictures drawn by code", "--licence", "MIT", "--dim", DIM, "--size", SIZE_PX)
    run(distill_app, "fit-head", "--images", many, "--out", "checkpoints/head.safetensors", *words)
    shutil.rmtree(many)
    words = ("--images", "photos", "--dim", 8, "--data", "pictures drawn by code")
    run(distill_app, "whiten-teacher", "--teacher", "student:default", "--out", "checkpoints/white.safetensors", *words)


def make_tiny_bundle(folder: Path) -> None:
    """Pixels (1, 3, 64, 64) -> 8 x 8 means around zero, L2-normalised (1, 192)."""
    num_dims, stride = 3 * GRID * GRID, SIZE_PX // GRID
    nodes = [
        helper.make_node("AveragePool", ["pixels"], ["small"], kernel_shape=[stride] * 2, strides=[stride] * 2),
        helper.make_node("Sub", ["small", "grey"], ["centred"]),
        helper.make_node("Flatten", ["centred"], ["flat"]),
        helper.make_node("LpNormalization", ["flat"], ["descriptor"], axis=1, p=2),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1, 3, SIZE_PX, SIZE_PX])],
        [helper.make_tensor_value_info("descriptor", TensorProto.FLOAT, [1, num_dims])],
        [helper.make_tensor("grey", TensorProto.FLOAT, [1], [127.5])],
    )
    folder.mkdir(parents=True)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "model.onnx")
    picture = procedural_picture(100, SHAPE_PX)
    pixels = to_pixels(picture, SIZE_PX)
    means = pixels.reshape(GRID, stride, GRID, stride, 3).mean(axis=(1, 3)).transpose(2, 0, 1).reshape(1, -1) - 127.5
    descriptors = (means / np.linalg.norm(means)).astype(np.float32)
    write_golden(Golden(("drawn",), (picture,), pixels[None], descriptors), folder / "golden", descriptors, "measured")
    manifest = Manifest(
        name=folder.name,
        state="ok",
        target="onnx",
        precision="fp32",
        created_utc="2025-01-01T00:00:00Z",
        model_path="model.onnx",
        model_bytes=(folder / "model.onnx").stat().st_size,
        inputs=(TensorInfo(name="pixels", shape=(1, 3, SIZE_PX, SIZE_PX), dtype="float32", layout="NCHW"),),
        outputs=(TensorInfo(name="descriptor", shape=(1, num_dims), dtype="float32", layout="ND"),),
        pixels=PixelContract(size_px=SIZE_PX, resize="bilinear, antialiased"),
        student=StudentInfo(
            name="tiny",
            descriptor_dim=num_dims,
            weights_sha256="0" * 64,
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
            pooling="gem",
            teacher=None,
            trunk="none",
            recipe="none",
            data="none",
        ),
        quantization=Quantization(recipe="none", float_parts="all", calibration=None),
        parity=Parity(
            evidence="measured",
            reason="onnxruntime",
            cosine_min=0.99999,
            cosine_mean=1.0,
            max_abs_difference=0.0,
            bar_cosine_min=0.9999,
            passed=True,
        ),
        accuracy=Accuracy(evidence="not measured"),
        tools={},
        licence="MIT",
        files=(),
    )
    (folder / CARD_NAME).write_text(model_card(manifest), encoding="utf-8")
    write_manifest(folder, manifest.model_copy(update={"files": list_files(folder)}))


def make_int8_bundle() -> None:
    """A real export with a search, of weights that pack well and with two small golden pictures."""
    photos = calibration_photos()[:2]
    with (
        mock.patch("export.golden.calibration_photos", lambda: photos),
        mock.patch("export.golden.SOURCE_LONG_SIDE_PX", 96),
    ):
        run(export_app, "--target", "onnx", "--precision", "int8", "--student", "checkpoints/whole.safetensors",
            "--calibration", "calibration", "--max-drop", 0.05, "--validation", "set", "--out", "bundles")  # fmt: skip


def make_records() -> None:
    """Two bundles and their baseline: records, matrix, examples, thresholds, stores, pixels, looks."""
    plan = RunPlan(
        bundles=[Path("bundles")],
        device="host",
        dataset="set",
        datasets_dir=Path("datasets"),
        stores_dir=Path("descriptors"),
        preset=Preset("tiny", min_count=5, min_s=0.001, limit_s=30.0),
        num_threads=1,
        baseline="checkpoints/whole.safetensors",
        teacher=None,
        write_threshold=True,
        records_dir=Path("records"),
    )
    with Screen() as screen:
        run_bench(plan, screen)
    for store in map(opened, Path("descriptors").iterdir()):
        if store.key.artifact != "tiny-onnx-fp32" or store.key.dataset != "set":
            shutil.rmtree(store.folder)  # the others are the same format
        else:
            write_partly(store)
    for path in Path("datasets/pixels").iterdir():
        if path.name[:16] != read_dataset(Path("set")).sha256[:16]:
            path.unlink()  # of the stability pass: the same format, and larger
    shutil.move("datasets/pixels", "pixels")


def opened(folder: Path) -> DescriptorStore:
    key = StoreKey.model_validate_json((folder / "store.json").read_bytes())
    return DescriptorStore(folder, key)


def write_partly(whole: DescriptorStore) -> None:
    """Shards 0, 2 and the last of the same descriptors, as a run leaves them that was ended."""
    partly = open_store(Path("descriptors-partly"), whole.key.model_copy(update={"shard_size": 8}))
    for shard in (0, 2, partly.num_shards - 1):
        rows = partly.rows(shard)
        inside: list[Skipped] = [row for row in whole.skipped() if rows.start <= row.row < rows.stop]
        partly.write_shard(shard, np.array(whole.descriptors()[rows]), inside)


def make_challenge_files() -> None:
    words = ("--bundle", "bundles/tiny-onnx-fp32", "--dataset", "set", "--baseline", "none", "--out", "descriptors")
    run(bench_app, "embed", *words, "--workers", 1, "--write-hdf5", "hdf5")
    dataset = read_dataset(Path("set"))
    names = [dataset.query_id(index) for index in range(len(dataset.queries))]
    pairs = [(names[query], dataset.references[reference].stem) for query, reference in dataset.pairs.tolist()]
    write_ground_truth(Path("challenge/truth.csv"), names, pairs)
    sides = (f"--{side}=hdf5/tiny-onnx-fp32/{side}.h5" for side in ("queries", "references"))
    run(bench_app, "evaluate", "--ground-truth", "challenge/truth.csv", *sides, "--k", 3, "--write-predictions",
        "challenge/predictions.csv")  # fmt: skip


def make_cache() -> None:
    photos, teacher = (
        open_photos(draw(Path("few"), range(200, 209))).photos,
        open_teacher("student:default"),
    )
    build_cache(Path("cache"), photos, teacher, cache_key(photos, "copy", 0, 2, 32, teacher, photos_per_shard=3))


def make_run() -> None:
    """A run of six steps that was interrupted after three."""

    def write_and_stop(path: Path, state: Mapping[str, object]) -> None:
        write_state(path, state)
        if state["step"] == 3:
            raise KeyboardInterrupt

    losses = "[{name: infonce}, {name: hard_negative, weight: 0.1, bank_size: 8}]"
    Path("tiny.yaml").write_text(RECIPE.format(name="tiny", losses=losses, epochs=2))
    with mock.patch("distill.run_keeper.write_state", write_and_stop):
        try:
            begin(read_config("tiny.yaml"), Path("run"))
        except KeyboardInterrupt:
            print("interrupted, as meant")
    shutil.rmtree("run/tensorboard")  # names its machine, and is for TensorBoard alone
    state = read_state(Path("run/checkpoints/last.ckpt"))
    del state["schema_version"]
    write_state(
        Path("run/checkpoints/last.ckpt"), state | {name: tiled(state[name], 61) for name in ("module", "optimizer")}
    )


def make_comparison() -> None:
    for name, losses in (("one", "[{name: infonce}]"), ("two", "[{name: infonce}, {name: koleo, weight: 0.1}]")):
        Path(f"{name}.yaml").write_text(RECIPE.format(name=name, losses=losses, epochs=1))
    words = ("--recipe", "one.yaml", "--recipe", "two.yaml", "--seeds", 1, "--out", "comparison")
    run(distill_app, "compare", "--images", "few", "--dataset", "set", *words)
    for folder in Path("comparison").iterdir():
        for name in ("tensorboard", "checkpoints"):
            shutil.rmtree(folder / name)
        (folder / "student.safetensors").unlink()  # a judged run is not opened again


def make_older() -> None:
    """Records and manifests of earlier schemas: today's without what was not there yet, as the tests have them."""
    record = json.loads(next(Path("records").glob("*int8*.record.json")).read_text())
    del record["accuracy"]["calibration_overlap"], record["artifact"]["structure"]
    for version in (2, 1):
        if version == 1:
            del record["stability"]
            for name in ("recall_at_10", "accuracy_at_1", "normalized", "teacher", "not_measured", "copydays"):
                del record["accuracy"][name]
            del record["accuracy"]["baseline"]["normalized_micro_ap"]
        path = Path(f"older/records-{version}/efficientnet_lite0-onnx-int8--host.record.json")
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(record | {"schema_version": version}))
    manifest = read_manifest(next(Path("bundles").glob("*int8"))).model_dump(mode="json")
    del manifest["structure"], manifest["quantization"]["search"]
    for name in ("images", "disjoint_from"):
        del manifest["quantization"]["calibration"][name]
    for version in (2, 1):
        if version == 1:
            for name in ("dataset_sha256", "device", "runtime"):
                del manifest["accuracy"][name]
        path = Path(f"older/bundle-{version}/manifest.json")
        path.parent.mkdir()
        path.write_text(json.dumps(manifest | {"schema_version": version}, indent=2) + "\n")


def make_download() -> None:
    Path("downloads").mkdir()
    Path("downloads/weights.bin").write_bytes(b"weights of a teacher")
    download("https://example.org/weights.bin", Path("downloads/weights.bin"), what="weights")


def expected() -> dict[str, object]:
    """Numbers that the test looks for."""
    pixels = to_pixels(read_rgb(Path("photos/000.jpg")), SIZE_PX)[None]
    checkpoints = {}
    for name in ("head", "whole"):
        loaded = load_checkpoint(Path(f"checkpoints/{name}.safetensors"))
        described = describe_pixels(loaded.model, pixels, torch.device("cpu"))[0]
        checkpoints[name] = {"weights_sha256": loaded.weights_sha256, "descriptor": described[:4].tolist()}
    white = open_teacher("checkpoints/white.safetensors")
    records = [json.loads(path.read_text()) for path in sorted(Path("records").glob("*.record.json"))]
    return {
        "commit": subprocess.run(["git", "rev-parse", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True,
                                 check=True).stdout.strip(),
        "pillow": PIL.__version__,
        "versions": versions(),
        "checkpoints": checkpoints,
        "white": {"name": white.name, "weights_sha256": white.weights_sha256},
        "micro_ap": {record["artifact"]["name"]: record["accuracy"]["micro_ap"] for record in records},
        "dataset_sha256": read_dataset(Path("set")).sha256,
        "loss": Path("run/metrics.csv").read_text().splitlines()[3].split(",")[4],
    }  # fmt: skip


def pack(folder: Path) -> None:
    """Keep as .xz what loses a third by it."""
    for path in [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size > 20_000]:
        content = path.read_bytes()
        packed = lzma.compress(content, preset=9)
        if len(packed) < len(content) * 2 / 3:
            path.with_name(f"{path.name}.xz").write_bytes(packed)
            path.unlink()


def help_texts() -> dict[str, str]:
    """What every command of every package with a `__main__.py` prints for --help."""
    texts: dict[str, str] = {}
    settings = {"COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1", "PYTHONPATH": str(REPOSITORY)}
    for main in sorted(REPOSITORY.glob("*/__main__.py")):
        root = f"python -m {main.parent.name}"
        found = typer.main.get_command(importlib.import_module(f"{main.parent.name}.__main__").app)
        for name in ("", *sorted(getattr(found, "commands", {}))):
            words = [*root.split()[1:], *name.split(), "--help"]
            done = subprocess.run(
                [sys.executable, *words], env=os.environ | settings, capture_output=True, text=True, check=True
            )
            texts[f"{root} {name}".strip()] = done.stdout
    return texts


def main(folder: Path) -> None:
    folder.mkdir()
    Path(folder.parent / "help.json").write_text(json.dumps(help_texts(), indent=1, ensure_ascii=False) + "\n", "utf-8")
    os.chdir(folder)
    torch.set_num_threads(1)
    steps = [
        make_dataset,
        make_checkpoints,
        partial(make_tiny_bundle, Path("bundles/tiny-onnx-fp32")),
        make_int8_bundle,
    ]
    steps += [make_records, make_challenge_files, make_cache, make_run, make_comparison, make_older, make_download]
    with mock.patch("devices.host.HostDevice.facts", lambda _self: replace(FACTS)):
        for step in steps:
            step()
    shutil.rmtree("datasets", ignore_errors=True)
    shutil.rmtree("artifacts", ignore_errors=True)
    Path("expected.json").write_text(json.dumps(expected(), indent=1) + "\n")
    pack(Path())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
