"""What a source holds: each photograph once, the unreadable named, a folder and a tar alike."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from icd_mobile.datasets.made.photos import PhotoSource, read_photos
from icd_mobile.datasets.sample_pictures import procedural_picture
from icd_mobile.errors import InputError


def read(images: Path, spool_dir: Path) -> PhotoSource:
    spool_dir.mkdir()
    return read_photos(images, spool_dir, 1, lambda _done, _total: None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures; of the first also its bytes again and a small JPEG; and a file that is no image."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index, name in enumerate(("b.png", "d.png", "f.png")):
        procedural_picture(index, (80, 60)).save(folder / name)
    (folder / "a.png").write_bytes((folder / "b.png").read_bytes())
    procedural_picture(0, (80, 60)).resize((60, 45)).save(folder / "e.jpg", quality=60)
    (folder / "c.jpg").write_bytes(b"not an image")
    return folder


def test_each_photograph_counts_once_and_the_first_by_name_stays(folder: Path, tmp_path: Path) -> None:
    source = read(folder, tmp_path / "spool")
    assert [photo.name for photo in source.photos] == ["a.png", "d.png", "f.png"]
    reasons = {photo.name: photo.reason for photo in source.skipped}
    assert reasons["b.png"] == "same bytes as a.png"
    assert reasons["e.jpg"] == "looks the same as a.png"
    assert reasons["c.jpg"] == "not an image of a kind that is read (JPEG, PNG, WEBP, BMP, TIFF, GIF)"
    assert (source.name, source.num_files) == ("pictures", 6)


def test_a_tar_in_any_order_gives_the_photographs_of_the_folder(folder: Path, tmp_path: Path) -> None:
    archive_path = tmp_path / "pictures.tar"
    with tarfile.open(archive_path, "w") as archive:
        for path in sorted(folder.iterdir(), reverse=True):
            archive.add(path, path.name)
    from_folder, from_tar = read(folder, tmp_path / "one"), read(archive_path, tmp_path / "two")
    assert [(photo.name, photo.sha256) for photo in from_tar.photos] == [
        (photo.name, photo.sha256) for photo in from_folder.photos
    ]
    assert from_tar.sha256 == from_folder.sha256


def test_a_tar_member_cannot_name_where_its_bytes_go(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    procedural_picture(0, (40, 30)).save(buffer, "PNG")
    with tarfile.open(tmp_path / "bad.tar", "w") as archive:
        member = tarfile.TarInfo("../../escaped.png")
        member.size = len(buffer.getvalue())
        archive.addfile(member, io.BytesIO(buffer.getvalue()))
    source = read(tmp_path / "bad.tar", tmp_path / "spool")
    assert [path.name for path in (tmp_path / "spool").iterdir()] == ["0"]
    assert source.photos[0].path.read_bytes() == buffer.getvalue()


def test_the_hash_of_a_source_is_over_names_and_bytes(folder: Path, tmp_path: Path) -> None:
    first = read(folder, tmp_path / "one").sha256
    (folder / "f.png").rename(folder / "g.png")
    renamed = read(folder, tmp_path / "two").sha256
    procedural_picture(9, (80, 60)).save(folder / "g.png")
    changed = read(folder, tmp_path / "three").sha256
    assert len({first, renamed, changed}) == 3


def test_a_source_that_mostly_does_not_decode_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    procedural_picture(0, (40, 30)).save(folder / "z.png")
    (folder / "a.jpg").write_bytes(b"")
    assert len(read(folder, tmp_path / "half").photos) == 1  # half is allowed
    (folder / "b.jpg").write_bytes(b"")
    with pytest.raises(InputError, match=r"2 of 3 images in .* do not decode \(first: a\.jpg, "):
        read(folder, tmp_path / "more")


def test_a_name_that_is_not_utf8_is_no_obstacle(folder: Path, tmp_path: Path) -> None:
    name = b"\xff.png".decode(errors="surrogateescape")
    try:
        procedural_picture(5, (80, 60)).save(folder / name)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert name in {photo.name for photo in read(folder, tmp_path / "spool").photos}
