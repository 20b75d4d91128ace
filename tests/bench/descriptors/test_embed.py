"""`python -m bench embed`: the same bytes whatever happens on the way, and one line for whatever goes wrong."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from bench.__main__ import app
from bench.artifacts.artifact import bundle_artifact
from bench.descriptors.screen import progress_line
from icd_mobile.datasets.read import read_dataset
from icd_mobile.pictures.preprocessing import read_rgb, to_pixels
from icd_mobile.retrieval.descriptor_files import read_descriptors

REPOSITORY = Path(__file__).parents[3]
NUM_QUERIES, NUM_REFERENCES, SHARD_SIZE = 9, 31, 4
CORRUPT = ("queries/q3.png", "references/r20.png")
NewBundle = Callable[..., Path]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise as pictures, one query and one reference that cannot be read."""
    folder = tmp_path_factory.mktemp("datasets") / "noise"
    rng = np.random.default_rng(0)
    for part, count in (("queries", NUM_QUERIES), ("references", NUM_REFERENCES)):
        (folder / part).mkdir(parents=True)
        for index in range(count):
            picture = Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8))
            picture.save(folder / part / f"{part[0]}{index}.png")
    for name in CORRUPT:
        (folder / name).write_bytes((folder / name).read_bytes()[:100])
    with (folder / "ground_truth.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("query_id", "reference_id"), ("q0", "r0")])
    return folder


# Every image takes 20 ms more, so that a kill comes in the middle; `die_at` ends the process there.
SCRIPT = """
import json, os, signal, sys, time
from pathlib import Path
from bench.descriptors import shard as shard_embedder
from bench.descriptors.embed import EmbedPlan, embed
from bench.descriptors.screen import EmbedScreen

bundle, dataset, out, num_workers, die_at = sys.argv[1:]
read_rgb = shard_embedder.read_rgb

def slow_read_rgb(path):
    time.sleep(0.02)
    if path.name == die_at:
        os.kill(os.getpid(), signal.SIGKILL)
    return read_rgb(path)

shard_embedder.read_rgb = slow_read_rgb
if __name__ == "__main__":
    plan = EmbedPlan([Path(bundle)], "none", dataset, Path("datasets"), Path(out), "local", None, int(num_workers), 4)
    _, (done,) = embed(plan, EmbedScreen())
    print(json.dumps([done.num_shards, done.num_images, [row.image for row in done.skipped]]))
"""


@pytest.fixture
def start(tmp_path: Path, dataset: Path, bundle_dir: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts the script in a process group of its own; `out` is relative to `tmp_path`."""
    script = tmp_path / "slow_embed.py"
    script.write_text(SCRIPT)

    def begin(out: str, num_workers: int = 2, die_at: str = "") -> subprocess.Popen[str]:
        words = [sys.executable, str(script), str(bundle_dir), str(dataset), str(tmp_path / out), str(num_workers)]
        return subprocess.Popen(
            [*words, die_at],
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    return begin


def contents(out: Path) -> dict[str, bytes]:
    (folder,) = out.iterdir()
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def wait_for_shards(out: Path, count: int) -> int:
    """How many shards there are, once there are `count`."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = len(list(out.glob("*/?????.npy")))
        if found >= count:
            return found
        time.sleep(0.002)
    raise AssertionError("no shard came")


def test_killed_run_goes_on_to_the_same_bytes(start: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    whole = start("whole", num_workers=1)
    killed = start("killed")
    wait_for_shards(tmp_path / "killed", 3)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    num_finished = len(list((tmp_path / "killed").glob("*/?????.npy")))
    assert 3 <= num_finished < 10
    out, errors = start("killed").communicate()
    num_shards, num_images, skipped = json.loads(out or errors)
    assert num_shards == 10 - num_finished
    assert num_images == SHARD_SIZE * num_shards
    assert tuple(skipped) == CORRUPT
    assert json.loads(whole.communicate()[0])[:2] == [10, NUM_QUERIES + NUM_REFERENCES]
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    assert sorted(contents(tmp_path / "whole")) == ["descriptors.npy", "skipped.csv", "store.json"]


def test_worker_that_is_killed_ends_the_run(start: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    process = start("out", die_at="r25.png")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    last = errors.strip().splitlines()[-1]
    assert last.startswith(
        "icd_mobile.errors.OutsideError: a worker process ended (signal 9), perhaps for want of memory"
    )
    assert len(list((tmp_path / "out").glob("*/?????.npy"))) >= 5


def workers_of(group: int) -> list[str]:
    """The command lines of the worker processes in a process group; those that have ended have none."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            is_in_group = os.getpgid(int(folder.name)) == group
            command = (folder / "cmdline").read_text()
            found += [command] if is_in_group and "spawn_main" in command else []
    return found


@pytest.mark.parametrize(
    ("number", "code", "line"), [(signal.SIGTERM, 143, "ended by SIGTERM"), (signal.SIGINT, 130, "interrupted")]
)
def test_interrupt_is_one_line(
    number: signal.Signals, code: int, line: str, tmp_path: Path, dataset: Path, bundle_dir: Path
) -> None:
    """The signal comes while the process waits for its workers, which it must not leave behind."""
    script = tmp_path / "command.py"
    script.write_text(
        "import time\nfrom bench.descriptors import shard as shard_embedder\nread_rgb = shard_embedder.read_rgb\n"
        "shard_embedder.read_rgb = lambda path: (time.sleep(0.1), read_rgb(path))[1]\n"
        "if __name__ == '__main__':\n    from bench.__main__ import app\n    app()\n"
    )
    words = ["embed", "--bundle", bundle_dir, "--dataset", dataset, "--baseline", "none", "--out", tmp_path / "out"]
    process = subprocess.Popen(
        [sys.executable, str(script), *(str(word) for word in words), "--workers", "1"],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not workers_of(process.pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.2)
    os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
    out, errors = process.communicate(timeout=60)
    assert (process.returncode, out) == (code, ""), errors
    assert [text for text in errors.splitlines() if not text.startswith("tiny")] == [
        f"error: {errors.strip().partition('error: ')[2]}"
    ]
    assert line in errors
    assert not workers_of(process.pid)


def embed(*words: object) -> Result:
    return CliRunner().invoke(app, ["embed", "--baseline", "none", *(str(word) for word in words)])


def test_descriptors_are_those_of_the_bundle_in_the_order_of_the_dataset(
    dataset: Path, bundle_dir: Path, tmp_path: Path
) -> None:
    done = embed("--bundle", bundle_dir, "--dataset", dataset, "--out", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.output
    (found,) = json.loads(done.stdout)["stores"]
    assert (found["num_shards_embedded"], found["num_images_embedded"]) == (1, NUM_QUERIES + NUM_REFERENCES)
    assert (found["num_skipped"], tuple(found["skipped"])) == (2, CORRUPT)
    assert found["images_per_s_evidence"] == "measured"
    descriptors = np.load(Path(found["store"]) / "descriptors.npy")
    images = read_dataset(dataset).images
    # The tiny graph's own arithmetic: 8 x 8 means of 64 x 64 pixels, less 127.5, L2-normalised.
    for row, path in enumerate(images):
        if path.relative_to(dataset).as_posix() in CORRUPT:
            assert np.isnan(descriptors[row]).all()
            continue
        pixels = to_pixels(read_rgb(path), 64).astype(np.float64)
        means = pixels.reshape(8, 8, 8, 8, 3).mean(axis=(1, 3)).transpose(2, 0, 1).reshape(-1) - 127.5
        np.testing.assert_allclose(descriptors[row], means / np.linalg.norm(means), atol=1e-5)


def test_second_run_embeds_nothing_and_says_so(dataset: Path, bundle_dir: Path, tmp_path: Path) -> None:
    words = ("--bundle", bundle_dir, "--dataset", dataset, "--out", tmp_path / "out")
    first = embed(*words).stdout
    assert "tiny-onnx-fp32: 40 descriptors of 192 dimensions, 40 of them in this run" in first
    assert "Could not be read, listed in each skipped.csv: 2 of 40" in first
    assert f"{CORRUPT[0]}: OSError" in first
    shown, _, following = first.partition("Next:")
    assert str(dataset) not in shown
    assert f"--dataset {dataset} --baseline none --descriptors {tmp_path / 'out'}" in following
    assert "40 descriptors of 192 dimensions, all of them there before" in embed(*words).stdout
    (found,) = json.loads(embed(*words, "--json").stdout)["stores"]
    assert (found["num_shards_embedded"], found["images_per_s"]) == (0, None)
    assert found["images_per_s_evidence"] == "not measured"


def test_written_parts_are_read_by_evaluate(dataset: Path, bundle_dir: Path, tmp_path: Path) -> None:
    words = (
        "--bundle",
        bundle_dir,
        "--dataset",
        dataset,
        "--out",
        tmp_path / "out",
        "--write-hdf5",
        tmp_path / "parts",
    )
    (found,) = json.loads(embed(*words, "--json").stdout)["stores"]
    queries, references = (Path(path) for path in found["hdf5"])
    descriptors = np.load(Path(found["store"]) / "descriptors.npy")
    names = {path.stem: row for row, path in enumerate(read_dataset(dataset).images)}
    for path, side, count in ((queries, "query", NUM_QUERIES - 1), (references, "reference", NUM_REFERENCES - 1)):
        part = read_descriptors([path], side)
        assert len(part) == count
        rows = np.concatenate(list(part.blocks()))
        np.testing.assert_array_equal(rows, descriptors[[names[name] for name in part.ids]])
    judged = CliRunner().invoke(
        app,
        [
            "evaluate",
            "--ground-truth",
            str(dataset / "ground_truth.csv"),
            "--queries",
            str(queries),
            "--references",
            str(references),
        ],
    )
    assert judged.exit_code == 0, judged.output


def test_artifact_without_a_runtime_is_warned_of(
    dataset: Path, new_bundle: NewBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.artifacts.artifact.REFERENCES", {})  # nor a reference evaluator
    apple, onnx = new_bundle("apple", target="coreml"), new_bundle("tiny")
    words = ("--dataset", dataset, "--out", tmp_path / "out")
    both = embed("--bundle", apple, "--bundle", onnx, *words)
    assert both.exit_code == 0, both.output
    assert "apple is left out: Core ML runs on Apple systems only" in both.stderr
    alone = embed("--bundle", apple, *words)
    assert (alone.exit_code, alone.stderr.strip().splitlines()[-1][:6]) == (3, "error:")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--bundle", "absent"], 2, "no bundle in absent"),
        (["--dataset", "absent"], 2, "absent has no references"),
        (["--address", "here:1"], 2, "add --engine ray"),
        (["--out", "file"], 2, "file"),
    ],
)
def test_mistake_is_one_line(
    words: list[str], code: int, message: str, bundle_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    done = embed(*(words if "--bundle" in words else ["--bundle", bundle_dir, *words]))
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert (done.exit_code, len(errors), done.stdout) == (code, 1, "")
    assert message in errors[0]


def test_descriptor_of_another_length_stops_the_run(
    dataset: Path, new_bundle: NewBundle, tmp_path: Path, bundle_dir: Path
) -> None:
    import onnx

    model = onnx.load(bundle_artifact(bundle_dir).model_path)
    model.graph.node[-1].op_type = "Identity"  # in place of the normalisation
    del model.graph.node[-1].attribute[:]
    done = embed(
        "--bundle", new_bundle("long", model=model.SerializeToString()), "--dataset", dataset, "--out", tmp_path
    )
    assert done.exit_code == 1
    assert "where (192,) of length 1 is needed" in done.stderr


def test_help_gives_examples() -> None:
    assert "python -m bench embed --dataset photos" in CliRunner().invoke(app, ["embed", "--help"]).stdout


def test_progress_counts_what_was_there_before_but_not_in_the_rate() -> None:
    # 30 images in 10 s are 3 a second; 100 - 40 - 30 = 30 are left: 10 s.
    assert progress_line("a", 40, 30, 100, 10.0) == "a: 70 of 100 images, 3.0 images/s, 0:00:10 left"
    assert progress_line("a", 40, 0, 100, 10.0) == "a: 40 of 100 images"
