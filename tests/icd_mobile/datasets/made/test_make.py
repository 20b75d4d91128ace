"""A dataset made of photographs: what bench reads of it, its bytes, and that a mistake leaves nothing behind."""

from __future__ import annotations

import json
import tarfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from bench.__main__ import app
from icd_mobile.datasets.ground_truth import read_ground_truth
from icd_mobile.datasets.made.edit_chains import edited_copy, limited
from icd_mobile.datasets.made.make import EDITED_AT, JPEG_QUALITY, make_dataset
from icd_mobile.datasets.made.plan import Settings
from icd_mobile.datasets.read import read_dataset
from icd_mobile.datasets.sample_pictures import procedural_picture
from icd_mobile.errors import InputError
from icd_mobile.pictures.preprocessing import read_rgb

SIZE_PX = 64
SETTINGS = Settings(num_queries=20, size_px=SIZE_PX)
OPTIONS = ("--seed", "3", "--num-queries", "20", "--size", str(SIZE_PX))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty pictures with private metadata, one of them twice, and one that does not decode."""
    folder = tmp_path_factory.mktemp("source") / "holiday"
    folder.mkdir()
    exif = Image.Exif()
    exif[0x010E] = "private description"
    for index in range(30):
        picture = procedural_picture(index, ((150, 100), (90, 120))[index % 2])
        picture.save(folder / f"{index}.jpg", exif=exif, comment=b"private comment")
    (folder / "again.jpg").write_bytes((folder / "0.jpg").read_bytes())
    (folder / "broken.jpg").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def done(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """The command, run on `photos` in one process."""
    line = ["make-dataset", "--images", str(photos), "--out", str(tmp_path_factory.mktemp("made") / "mine"), *OPTIONS]
    return CliRunner().invoke(app, [*line, "--workers", "1"])


@pytest.fixture(scope="module")
def made(done: Result) -> Path:
    """The folder that the command made; not to be written to."""
    assert done.exit_code == 0, done.output
    return Path(done.stdout.partition("wrote ")[2].partition(": ")[0])


def manifest_of(folder: Path) -> dict[str, object]:
    manifest: dict[str, object] = json.loads((folder / "manifest.json").read_text())
    return manifest


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_bench_reads_what_was_made(made: Path) -> None:
    # 30 photographs: 9 training, 3 backgrounds, 18 judged; 20 queries, more than those, so they take turns:
    # 0.4 x 18 = 7.2 -> 7 photographs without a match, 11 references; 0.4 x 20 = 8 queries without a match.
    dataset = read_dataset(made)
    assert (len(dataset.queries), len(dataset.references), len(dataset.training)) == (20, 11, 9)
    assert len(dataset.pairs) == 12
    assert set(dataset.edits) == {path.stem for path in dataset.queries}
    truth = read_ground_truth(made / "ground_truth.csv")
    assert truth.names_every_query
    assert len(truth.query_ids) == 20
    assert max(max(Image.open(path).size) for path in dataset.images) == SIZE_PX


def test_the_command_says_what_it_made_and_what_comes_next(made: Path, done: Result) -> None:
    assert f"wrote {made}: 20 queries, 12 with a match; 11 references, 9 training images" in done.stdout
    assert f"python -m bench run --dataset {made} --preset smoke" in done.stdout
    assert "skipped 2 of 32 images:" in done.stderr


def test_help_gives_examples() -> None:
    shown = CliRunner().invoke(app, ["make-dataset", "--help"]).stdout
    assert "Example: python -m bench make-dataset --images photos" in shown


def test_a_tar_and_two_processes_give_the_same_bytes(photos: Path, made: Path, tmp_path: Path) -> None:
    archive_path = tmp_path / photos.name  # the name stands in the manifest
    with tarfile.open(archive_path, "w") as archive:
        for path in sorted(photos.iterdir(), reverse=True):
            archive.add(path, path.name)
    out = tmp_path / "other"
    line = ["make-dataset", "--images", str(archive_path), "--out", str(out), *OPTIONS, "--workers", "2", "--json"]
    again = CliRunner().invoke(app, line)
    assert again.exit_code == 0, again.output
    printed = json.loads(again.stdout)
    assert printed["dataset"] == str(out)
    assert printed["num_images"] == manifest_of(made)["num_images"]
    assert files_of(out) == files_of(made)


def test_a_query_can_be_made_again_from_its_row_of_the_manifest(photos: Path, made: Path) -> None:
    for row in manifest_of(made)["queries"]:  # type: ignore[attr-defined]
        image = read_rgb(photos / row["source"])
        background = read_rgb(photos / row["background"]) if row["background"] else image
        rng = np.random.default_rng(row["seed"])
        edited = edited_copy(image, background, row["edits"], rng, EDITED_AT * SIZE_PX)
        buffer = BytesIO()
        limited(edited, SIZE_PX).save(buffer, "JPEG", quality=JPEG_QUALITY)
        assert buffer.getvalue() == (made / "queries" / f"{row['id']}.jpg").read_bytes()


def test_the_manifest_says_what_was_skipped_and_no_path_of_the_machine(photos: Path, made: Path) -> None:
    manifest = manifest_of(made)
    assert manifest["source"]["num_files"] == 32  # type: ignore[index]
    reasons = {row["name"]: row["reason"] for row in manifest["skipped"]}  # type: ignore[attr-defined]
    assert reasons["again.jpg"] == "same bytes as 0.jpg"
    assert reasons.keys() == {"again.jpg", "broken.jpg"}
    assert str(photos.parent) not in (made / "manifest.json").read_text()


def test_nothing_of_a_photographs_metadata_is_written(made: Path) -> None:
    assert not [name for name, data in files_of(made).items() if b"private" in data]


def test_the_preview_is_a_sheet_of_its_queries(made: Path) -> None:
    with Image.open(made / "preview.png") as sheet:
        assert sheet.width == 1700
        assert len(sheet.convert("RGB").resize((40, 40)).getcolors(1600) or []) > 100


def test_an_interrupted_build_leaves_nothing(photos: Path, tmp_path: Path) -> None:
    def stop(step: str, done: int, _total: int) -> None:
        if (step, done) == ("writing", 4):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_dataset(photos, tmp_path / "made", 0, SETTINGS, stop)
    assert list(tmp_path.iterdir()) == []


def test_a_destination_that_is_there_or_among_the_photographs_is_refused(photos: Path, made: Path) -> None:
    with pytest.raises(InputError, match="exists; choose a new folder"):
        make_dataset(photos, made, 0, SETTINGS)
    with pytest.raises(InputError, match="lies in --images"):
        make_dataset(photos, photos / "made", 0, SETTINGS)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--images", "EMPTY"), "holds no image file"),
        (("--images", "absent"), "no folder or tar of images at absent"),
        (("--images", "ONE"), "needs at least 7 usable images, got 1"),
        (("--images", "ONE", "--strength", "hardd"), "did you mean 'hard'"),
        (("--images", "ONE", "--training-share", "1.1"), "--training-share needs"),
        (("--images", "ONE", "--out", "EMPTY"), "exists; choose a new folder"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(words: tuple[str, ...], message: str, tmp_path: Path) -> None:
    folders = {"EMPTY": tmp_path / "empty", "ONE": tmp_path / "one"}
    for folder in folders.values():
        folder.mkdir()
    procedural_picture(0, (40, 30)).save(folders["ONE"] / "a.png")
    line = ["make-dataset", "--out", str(tmp_path / "made"), "--workers", "1"]
    done = CliRunner().invoke(app, [*line, *(str(folders.get(word, word)) for word in words)])
    errors = [text for text in done.stderr.splitlines() if text.startswith("error: ")]
    assert (done.exit_code, len(errors), done.stdout) == (2, 1, ""), done.output
    assert message in errors[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "one"]
