"""`python -m bench prepare`: archives become trees whole or not at all, and what a tree lacks is named."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from bench.__main__ import app
from icd_mobile.datasets import copydays_fetch, disc_check
from icd_mobile.datasets.copydays import CROP_BLOCKS, JPEG_BLOCKS
from icd_mobile.datasets.copydays_fetch import ARCHIVES, Archive, unpack
from icd_mobile.datasets.read import read_dataset
from icd_mobile.errors import InputError

ORIGINALS = ["200000", "200100", "200200"]  # a small Copydays: of 3 originals, with 4 strong copies
STRONG = ["200001", "200002", "200101", "200201"]
PARTS = {
    "original": ORIGINALS,
    "strong": STRONG,
    "jpegqual": [f"{block.partition('/')[2]}/{name}" for block in JPEG_BLOCKS for name in ORIGINALS],
    "crops": [f"{block.partition('/')[2]}/{name}" for block in CROP_BLOCKS for name in ORIGINALS],
}


def jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 100, 0)).save(buffer, "JPEG")
    return buffer.getvalue()


def make_archive(path: Path, names: Iterable[str], extra: Iterable[tarfile.TarInfo] = ()) -> Path:
    content = jpeg()
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for member in extra:
            archive.addfile(member)
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def make_part(folder: Path, names: Iterable[str]) -> None:
    content = jpeg()
    for name in names:
        path = folder / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def prepare(*words: object) -> Result:
    return CliRunner().invoke(app, ["prepare", *(str(word) for word in words)])


def plain(*words: object) -> dict:
    return json.loads(prepare(*words, "--json").stdout)


@pytest.fixture
def file_server() -> Iterator[Callable[[Path], str]]:
    """Serves a folder on this computer; gives its URL."""
    servers = []

    def serve(folder: Path) -> str:
        handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), handler))
        Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


SMALL = tuple(replace(archive, num_images=len(PARTS[archive.part])) for archive in ARCHIVES)


@pytest.fixture
def small_copydays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Archives of the small Copydays' numbers."""
    monkeypatch.setattr(copydays_fetch, "ARCHIVES", SMALL)


def test_the_whole_of_copydays_is_3212_images() -> None:
    # The count on INRIA's page of the set.
    numbers = {archive.part: archive.num_images for archive in ARCHIVES}
    assert numbers == {"original": 157, "strong": 229, "jpegqual": 9 * 157, "crops": 9 * 157}
    assert sum(numbers.values()) == 3212


@pytest.fixture
def archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A datasets folder with Copydays' two pinned archives put there by hand, one flat and one in a folder."""
    monkeypatch.setenv("ICD_MOBILE_OFFLINE", "1")
    folder = tmp_path / "datasets"
    members = {"original": [f"{name}.jpg" for name in ORIGINALS], "strong": [f"./strong/{n}.jpg" for n in STRONG]}
    pinned = []
    for archive in SMALL:
        if archive.part in members:
            path = make_archive(folder / "copydays" / archive.name, members[archive.part])
            archive = replace(archive, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
        pinned.append(archive)
    monkeypatch.setattr(copydays_fetch, "ARCHIVES", tuple(pinned))
    return folder


def test_copydays_comes_from_its_archives_and_is_a_dataset(archives: Path) -> None:
    done = prepare("copydays", "--out", archives)
    assert done.exit_code == 0, done.output
    assert f"Next: python -m bench run --dataset {archives / 'copydays'}" in done.stdout
    assert "copydays_jpeg.tar.gz" in done.stdout
    dataset = read_dataset(archives / "copydays")
    assert dataset.name == "copydays without jpegqual, crops, partial"
    assert (len(dataset.references), len(dataset.queries)) == (3, 4)
    assert prepare("copydays", "--out", archives).exit_code == 0  # again: nothing to do


def test_copydays_is_downloaded_and_hashed(
    archives: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file_server: Callable[[Path], str]
) -> None:
    monkeypatch.delenv("ICD_MOBILE_OFFLINE")
    monkeypatch.setattr(copydays_fetch, "MIRROR", file_server(archives / "copydays"))
    done = prepare("copydays", "--out", tmp_path / "elsewhere", "--json")
    assert done.exit_code == 0, done.output
    assert [part["num_found"] for part in json.loads(done.stdout)["parts"]] == [3, 4, 0, 0, 0]


def test_blocks_asked_for_by_hand_are_unpacked_from_their_archives(archives: Path) -> None:
    folder = archives / "copydays"
    make_archive(folder / "copydays_jpeg.tar.gz", (f"jpegqual/{name}.jpg" for name in PARTS["jpegqual"]))
    make_archive(folder / "copydays_crop.tar.gz", (f"./crops/{name}.jpg" for name in PARTS["crops"]))
    parts = plain("copydays", "--out", archives)["parts"]
    assert [part["num_found"] for part in parts] == [3, 4, 27, 27, 0]
    assert read_dataset(folder).name == "copydays, partial"


def test_offline_without_archives_says_which_file_to_put_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICD_MOBILE_OFFLINE", "1")
    done = prepare("copydays", "--out", tmp_path)
    errors = done.stderr.splitlines()
    assert (done.exit_code, len(errors), done.stdout) == (3, 1, "")
    assert "vissl/datasets/copydays_original.tar.gz elsewhere and put it at" in errors[0]
    assert str(tmp_path / "copydays" / "copydays_original.tar.gz") in errors[0]


def test_other_archive_than_the_pinned_one_is_not_unpacked(archives: Path) -> None:
    make_archive(archives / "copydays" / "copydays_strong.tar.gz", ["200001.jpg"])
    done = prepare("copydays", "--out", archives)
    assert done.exit_code == 2
    assert "copydays_strong.tar.gz is not Copydays (strong) as expected" in done.stderr
    assert not (archives / "copydays" / "strong").exists()


def test_part_that_is_there_but_not_whole_is_left_alone(archives: Path) -> None:
    make_part(archives / "copydays" / "original", ORIGINALS[:2])
    done = prepare("copydays", "--out", archives)
    assert done.exit_code == 2
    assert "original has 2 of 3 images; move it away" in done.stderr


THREE = Archive("three.tar.gz", "three", 3, depth=1, sha256=None)


def test_archive_that_is_cut_short_leaves_nothing(tmp_path: Path) -> None:
    path = make_archive(tmp_path / "a.tar.gz", ["a.jpg", "b.jpg", "c.jpg"])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=r"a\.tar\.gz is not a whole \.tar\.gz"):
        unpack(path, THREE, tmp_path / "three")
    assert [found.name for found in tmp_path.iterdir()] == ["a.tar.gz"]


@pytest.mark.parametrize("names", [["a.jpg", "b.jpg"], ["a.jpg", "b.jpg", "._c.jpg", "c.txt"]])
def test_archive_with_another_number_of_images_leaves_nothing(names: list[str], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds 2 images where 3 are known"):
        unpack(make_archive(tmp_path / "a.tar.gz", names), THREE, tmp_path / "three")
    assert [found.name for found in tmp_path.iterdir()] == ["a.tar.gz"]


def test_only_images_of_an_archive_are_written_and_only_into_the_folder(tmp_path: Path) -> None:
    link, device = tarfile.TarInfo("link.jpg"), tarfile.TarInfo("device.jpg")
    link.type, link.linkname, device.type = tarfile.SYMTYPE, "/etc/hostname", tarfile.CHRTYPE
    path = make_archive(tmp_path / "a.tar.gz", ["/a.jpg", "../../b.jpg", "deep/er/c.jpg", "run.sh"], [link, device])
    (tmp_path / "below").mkdir()
    unpack(path, THREE, tmp_path / "below" / "three")
    assert sorted(str(found.relative_to(tmp_path)) for found in tmp_path.rglob("*.jpg")) == [
        f"below/three/{name}.jpg" for name in "abc"
    ]


def test_member_that_would_leave_the_folder_is_refused(tmp_path: Path) -> None:
    path = make_archive(tmp_path / "a.tar.gz", ["x/../a.jpg", "x/../b.jpg", "x/../c.jpg"])
    with pytest.raises(InputError, match="outside the destination"):
        unpack(path, replace(THREE, depth=2), tmp_path / "three")
    assert [found.name for found in tmp_path.iterdir()] == ["a.tar.gz"]


def test_distractors_are_linked_and_become_references(archives: Path, tmp_path: Path) -> None:
    make_part(tmp_path / "photos", ["a", "b"])
    words = ("copydays", "--out", archives, "--distractors", tmp_path / "photos")
    assert plain(*words)["parts"][-1]["num_found"] == 2
    assert len(read_dataset(archives / "copydays").references) == 3 + 2
    make_part(tmp_path / "others", ["c"])
    done = prepare("copydays", "--out", archives, "--distractors", tmp_path / "others")
    assert (done.exit_code, "is there already" in done.stderr) == (2, True)
    done = prepare("copydays", "--out", archives, "--distractors", tmp_path / "absent")
    assert (done.exit_code, "no images in" in done.stderr) == (2, True)


@pytest.mark.usefixtures("small_copydays")
def test_check_names_what_copydays_lacks(tmp_path: Path) -> None:
    for part, names in PARTS.items():
        make_part(tmp_path / part, names)
    for name in ("original/200200", "strong/200001", "jpegqual/3/200000", "jpegqual/3/200100", "jpegqual/8/200000"):
        (tmp_path / f"{name}.jpg").unlink()
    (tmp_path / "jpegqual" / "75" / "200100.jpg").unlink()
    done = prepare("copydays", "--check", tmp_path, "--json")
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert found["is_whole"] is False
    parts = {part["name"]: (part["num_found"], part["num_expected"], part["missing"]) for part in found["parts"]}
    assert parts["original"] == (2, 3, "200200")
    assert parts["strong"] == (3, 4, "")
    assert parts["jpegqual"] == (23, 27, "jpegqual/3/200000, jpegqual/3/200100, jpegqual/8/200000 and 1 more")
    assert parts["crops"] == (27, 27, "")
    assert "names not known" in prepare("copydays", "--check", tmp_path).stdout


@pytest.fixture
def small_disc(monkeypatch: pytest.MonkeyPatch) -> None:
    """A DISC of 10 references, 10 training images and 6 queries, 4 of them public."""
    monkeypatch.setattr(disc_check, "MILLION", range(10))
    monkeypatch.setattr(disc_check, "PUBLIC_QUERIES", range(4))
    monkeypatch.setattr(disc_check, "DEV_QUERIES", range(6))
    monkeypatch.setattr(disc_check, "SPLITS", {"dev_queries_groundtruth.csv": range(6), "public_ground_truth.csv": 0})


@pytest.mark.usefixtures("small_disc")
def test_check_names_what_disc_lacks(tmp_path: Path) -> None:
    make_part(tmp_path / "refs_50k_0" / "images", (f"R00000{n}" for n in range(10) if n not in {1, 4, 5, 9}))
    make_part(tmp_path / "q", (f"Q0000{n}" for n in range(5)))
    (tmp_path / "dev_queries_groundtruth.csv").write_text("Q00000,R000000\n")
    done = prepare("disc", "--check", tmp_path, "--json")
    assert done.exit_code == 1
    parts = {part["name"]: (part["num_found"], part["missing"]) for part in json.loads(done.stdout)["parts"]}
    assert parts == {
        "references": (6, "R000001, R000004, R000005 and 1 more"),
        "public queries": (4, ""),
        "other queries": (1, "Q00005"),
        "training images": (0, "T000000, T000001, T000002 and 7 more"),
        "ground truth": (1, ""),
    }


@pytest.mark.usefixtures("small_disc")
def test_the_public_split_of_disc_is_whole_without_the_other_queries(tmp_path: Path) -> None:
    make_part(tmp_path / "images", [f"R00000{n}" for n in range(10)] + [f"Q0000{n}" for n in range(4)])
    (tmp_path / "public_ground_truth.csv").write_text("query_id,reference_id\nQ00000,R000000\n")
    assert prepare("disc", "--check", tmp_path).exit_code == 0


def test_disc_says_what_to_ask_for_and_downloads_nothing(tmp_path: Path) -> None:
    done = prepare("disc", "--out", tmp_path)
    assert done.exit_code == 3
    for text in ("https://ai.meta.com/datasets/disc21-downloads/", "refs_50k_19.zip", "dev_queries_groundtruth.csv"):
        assert text in done.stdout
    assert f"prepare disc --check {tmp_path / 'disc'}" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_own_layout_is_checked_as_the_sample(dataset_dir: Path, tmp_path: Path) -> None:
    found = plain("sample", "--check", dataset_dir)
    assert {part["name"]: part["num_found"] for part in found["parts"]} == {
        "references": 6,
        "queries": 5,
        "training images": 0,
        "matching pairs": 4,
    }
    done = prepare("sample", "--check", tmp_path)
    assert (done.exit_code, "has no references" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("copyday",), "did you mean 'copydays'"),
        (("disc", "--distractors", "photos"), "--distractors goes with `prepare copydays`"),
        (("copydays", "--check", ".", "--distractors", "photos"), "--distractors goes with `prepare copydays`"),
        (("disc", "--check", "absent"), "no folder absent; give the tree to check"),
    ],
)
def test_mistake_is_one_line(words: tuple[str, ...], message: str) -> None:
    done = prepare(*words)
    assert (done.exit_code, len(done.stderr.splitlines()), done.stdout) == (2, 1, "")
    assert message in done.stderr


def test_help_gives_examples() -> None:
    assert "python -m bench prepare copydays" in prepare("--help").stdout
