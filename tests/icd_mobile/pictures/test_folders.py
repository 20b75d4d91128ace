"""Images stream from a folder and from a tar alike; what does not decode is named and passed over."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from icd_mobile.datasets.sample_pictures import procedural_picture
from icd_mobile.errors import InputError
from icd_mobile.pictures.folders import count_images, stream_images
from icd_mobile.pictures.preprocessing import UnreadableImageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures, one in a subfolder, a broken one, a hidden one and a text."""
    folder = tmp_path / "pictures"
    (folder / "more").mkdir(parents=True)
    procedural_picture(0, (40, 30)).save(folder / "a.png")
    procedural_picture(1, (40, 30)).save(folder / "more" / "c.JPG", "JPEG")
    (folder / "b.jpg").write_bytes(b"not an image")
    (folder / ".hidden.jpg").write_bytes(b"")
    (folder / "notes.txt").write_text("no image")
    return folder


def _tar(folder: Path, name: str, mode: str = "w") -> Path:
    path = folder.parent / name
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        archive.add(folder, arcname=".")
    return path


def _decoded(source: Path) -> dict[str, str]:
    return {
        Path(name).name: "broken" if isinstance(image, UnreadableImageError) else f"{image.mode} {image.size}"
        for name, image in stream_images(source)
    }


@pytest.mark.parametrize(("name", "mode"), [("", ""), ("pictures.tar", "w"), ("pictures.tar.gz", "w:gz")])
def test_a_folder_and_a_tar_give_the_same_images(folder: Path, name: str, mode: str) -> None:
    source = _tar(folder, name, mode) if name else folder
    assert count_images(source) == 3
    assert _decoded(source) == {"a.png": "RGB (40, 30)", "b.jpg": "broken", "c.JPG": "RGB (40, 30)"}


def test_a_link_in_a_tar_is_not_followed(folder: Path) -> None:
    path = folder.parent / "linked.tar"
    with tarfile.open(path, "w") as archive:
        archive.add(folder / "a.png", "a.png")
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(link)
    assert count_images(path) == 1


def test_a_missing_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder or tar of images at"):
        count_images(tmp_path / "absent")


def test_a_source_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(InputError, match=r"holds no image file; looked for \.bmp"):
        count_images(tmp_path)


def test_a_file_that_is_no_tar_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="neither a folder nor a readable tar"):
        count_images(folder / "notes.txt")


@pytest.mark.parametrize(("name", "mode"), [("cut.tar", "w"), ("cut.tar.gz", "w:gz")])
def test_a_truncated_tar_is_refused(folder: Path, name: str, mode: str) -> None:
    path = _tar(folder, name, mode)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 4])
    with pytest.raises(InputError, match="truncated or damaged tar"):
        count_images(path)


def test_a_grey_image_in_a_tar_comes_as_rgb(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("L", (5, 4), 7).save(buffer, "PNG")
    with tarfile.open(tmp_path / "one.tar", "w") as archive:
        member = tarfile.TarInfo("grey.png")
        member.size = len(buffer.getvalue())
        archive.addfile(member, io.BytesIO(buffer.getvalue()))
    ((_, image),) = stream_images(tmp_path / "one.tar")
    assert isinstance(image, Image.Image)
    assert image.getpixel((0, 0)) == (7, 7, 7)
