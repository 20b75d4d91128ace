"""Images of a folder or a tar archive: where they are, and one at a time, so that memory stays bounded."""

from __future__ import annotations

import lzma
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from icd_mobile.errors import InputError
from icd_mobile.pictures.preprocessing import IMAGE_SUFFIXES, UnreadableImageError, list_images, read_rgb

_DAMAGE = (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError)
Decoded = Image.Image | UnreadableImageError


@dataclass(frozen=True)
class FoundImage:
    """An image file by its path inside the source; in a tar, also where its bytes lie (after any decompression)."""

    name: str
    offset: int = 0
    num_bytes: int = -1  # the whole file


def find_images(source: Path) -> list[FoundImage]:
    """Every image file of a folder, in path order, or of a tar, in its own order, without decoding any.

    Raises:
        InputError: no such source, not a folder or tar, or no image file in it.
    """
    if source.is_dir():
        found = [FoundImage(path.relative_to(source).as_posix()) for path in list_images(source)]
    elif source.is_file():
        with _open_tar(source) as archive:
            found = [
                FoundImage(member.name.removeprefix("./"), member.offset_data, member.size)
                for member in _members(archive, source)
                if _is_image(member)
            ]
    else:
        raise InputError(f"no folder or tar of images at {source}; check the path")
    if not found:
        raise InputError(f"{source} holds no image file; looked for {', '.join(sorted(IMAGE_SUFFIXES))}")
    return found


def count_images(source: Path) -> int:
    """How many image files a folder or tar holds, without decoding any.

    Raises:
        InputError: as `find_images`.
    """
    return len(find_images(source))


def stream_files(source: Path) -> Iterator[tuple[str, Path | bytes]]:
    """Name and path, or for a tar the bytes, of each image file: a folder in path order, a tar in its own order.

    Nothing is extracted to disk. Call `count_images` first: it refuses a source that is no folder or tar.

    Raises:
        InputError: the tar ends early.
    """
    if source.is_dir():
        for path in list_images(source):
            yield str(path.relative_to(source)), path
        return
    with _open_tar(source) as archive:
        for member in _members(archive, source):
            if _is_image(member):
                file = archive.extractfile(member)
                yield member.name, file.read() if file else b""


def stream_images(source: Path) -> Iterator[tuple[str, Decoded]]:
    """Name and RGB image, or the reason it does not decode, of each of `stream_files`.

    Raises:
        InputError: the tar ends early.
    """
    for name, file in stream_files(source):
        yield name, _decode(file)


def _decode(source: Path | bytes) -> Decoded:
    try:
        return read_rgb(source)
    except UnreadableImageError as error:
        return error


def _is_image(member: tarfile.TarInfo) -> bool:
    path = Path(member.name)
    return member.isfile() and path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def _open_tar(path: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(path)  # closed by the caller's `with`
    except _DAMAGE as error:
        raise InputError(
            f"{path} is neither a folder nor a readable tar ({str(error).splitlines()[0]}); give one of those"
        ) from error


def _members(archive: tarfile.TarFile, path: Path) -> Iterator[tarfile.TarInfo]:
    """The archive's members in order; a truncated archive, plain or compressed, is the user's error, not ours."""
    try:
        yield from archive
    except _DAMAGE as error:
        raise InputError(f"{path} is a truncated or damaged tar ({error}); copy it again") from error
