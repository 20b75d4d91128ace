"""Bundles on disk: written to a temporary sibling and renamed, so that one is whole or absent; read and re-hashed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import pydantic

from export.bundle.manifest import BUNDLE_KIND, MANIFEST_NAME, SCHEMA_VERSION, FileEntry, Manifest
from icd_mobile.errors import GateError, InputError
from icd_mobile.files import is_alive

MANIFEST_HASH_NAME = "manifest.json.sha256"
_STAGING_SUFFIX = "icd-mobile-staging"  # no other program's folders end so: what ends so may be swept
_STAGING = re.compile(rf"\.(?P<name>.+)\.(?P<pid>\d{{1,9}})\.{_STAGING_SUFFIX}")


def check_can_write(bundle_dir: Path, overwrite: bool) -> None:
    """Raises InputError where `bundle_dir` cannot be made, or exists and is not to be, or must not be, replaced."""
    parent = bundle_dir.parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"the output folder {parent} cannot be made ({error.strerror}); choose another --out"
        ) from error
    if not os.access(parent, os.W_OK | os.X_OK):
        raise InputError(f"the output folder {parent} is not writable; choose another --out")
    if not bundle_dir.exists() and not bundle_dir.is_symlink():
        return
    if not overwrite:
        raise InputError(f"{bundle_dir} exists already; pass --overwrite to replace it, or choose another --out")
    if bundle_dir.is_symlink() or not _was_written_here(bundle_dir):
        raise InputError(f"{bundle_dir} exists and is no bundle, so it is not replaced; choose another --out")


def _was_written_here(bundle_dir: Path) -> bool:
    """Whether a folder is a bundle of ours, damaged or not."""
    path = bundle_dir / MANIFEST_NAME
    return path.is_file() and BUNDLE_KIND.encode() in path.read_bytes()


@contextmanager
def staged(bundle_dir: Path) -> Iterator[Path]:
    """A temporary sibling to write into; it becomes `bundle_dir` when the block ends well, and is gone otherwise."""
    _sweep_dead_staging(bundle_dir.parent)
    staging = bundle_dir.with_name(f".{bundle_dir.name}.{os.getpid()}.{_STAGING_SUFFIX}")
    staging.mkdir()
    try:
        yield staging
        _publish(staging, bundle_dir)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _publish(staging: Path, bundle_dir: Path) -> None:
    if not bundle_dir.exists():
        staging.rename(bundle_dir)
        return
    replaced = bundle_dir.with_name(f".{bundle_dir.name}.replaced.{os.getpid()}.{_STAGING_SUFFIX}")
    bundle_dir.rename(replaced)
    try:
        staging.rename(bundle_dir)
    except BaseException:
        replaced.rename(bundle_dir)
        raise
    shutil.rmtree(replaced, ignore_errors=True)


def _sweep_dead_staging(parent: Path) -> None:
    """Remove what a killed run left; a replaced bundle whose successor never came goes back to its place."""
    for path in parent.glob(f".*.{_STAGING_SUFFIX}"):
        match = _STAGING.fullmatch(path.name)
        if match is None or is_alive(int(match["pid"])):
            continue
        name = match["name"]
        original = path.with_name(name.removesuffix(".replaced"))
        if name.endswith(".replaced") and not original.exists():
            path.rename(original)
        else:
            shutil.rmtree(path, ignore_errors=True)


def list_files(folder: Path) -> tuple[FileEntry, ...]:
    """Every file below `folder` but the manifest and its hash, with size and sha256, sorted by path."""
    return tuple(
        FileEntry(path=path.relative_to(folder).as_posix(), bytes=path.stat().st_size, sha256=_sha256(path))
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path not in {folder / MANIFEST_NAME, folder / MANIFEST_HASH_NAME}
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `manifest.json` and its hash, in the form that `sha256sum -c` takes."""
    content = manifest.model_dump_json(indent=2).encode() + b"\n"
    (folder / MANIFEST_NAME).write_bytes(content)
    (folder / MANIFEST_HASH_NAME).write_text(f"{hashlib.sha256(content).hexdigest()}  {MANIFEST_NAME}\n")


def read_manifest(bundle_dir: Path) -> Manifest:
    """Parse a bundle's manifest, without looking at its files.

    Raises:
        InputError: not a bundle, or one of a newer schema.
        GateError: a bundle whose manifest does not parse.
    """
    path = bundle_dir / MANIFEST_NAME
    if not path.is_file():
        raise InputError(f"{bundle_dir} is no bundle: it has no {MANIFEST_NAME}; make one with python -m export")
    try:
        text = path.read_bytes()
        content = json.loads(text)
    except (OSError, ValueError) as error:
        raise GateError(f"{path} is not readable JSON ({error}); export the bundle again") from error
    if not isinstance(content, dict) or content.get("kind") != BUNDLE_KIND:
        raise InputError(f"{bundle_dir} is no bundle: its {MANIFEST_NAME} was not written by python -m export")
    version = content.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise InputError(f"{path} has schema {version}, this version reads up to {SCHEMA_VERSION}; update icd-mobile")
    try:
        return Manifest.model_validate_json(text)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise GateError(f"{path} is damaged at '{where}' ({first['msg']}); export the bundle again") from error


def check_files(bundle_dir: Path, manifest: Manifest) -> None:
    """Every listed file is there, unchanged and inside the bundle, and no other file is.

    Raises:
        GateError: names the first file that is not so.
    """
    listed = {entry.path: entry for entry in manifest.files}
    for name in (*listed, manifest.model_path):
        if not _is_inside(bundle_dir, name):
            raise GateError(f"{bundle_dir}: {name!r} leads outside the bundle; do not use it")
    for name, entry in listed.items():
        path = bundle_dir / name
        if not path.is_file():
            raise GateError(f"{bundle_dir}: {name} is missing; export the bundle again")
        if path.stat().st_size != entry.bytes or _sha256(path) != entry.sha256:
            raise GateError(f"{bundle_dir}: {name} has changed since the export; export the bundle again")
    _check_manifest_hash(bundle_dir)
    for path in sorted(bundle_dir.rglob("*")):
        name = path.relative_to(bundle_dir).as_posix()
        is_file = path.is_symlink() or not path.is_dir()
        if is_file and name not in listed and name not in {MANIFEST_NAME, MANIFEST_HASH_NAME}:
            raise GateError(f"{bundle_dir}: {name} is not in the manifest; remove it or export the bundle again")


def _is_inside(bundle_dir: Path, name: str) -> bool:
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts:
        return False
    try:
        return (bundle_dir / name).resolve(strict=False).is_relative_to(bundle_dir.resolve())
    except (OSError, RuntimeError, ValueError):  # a loop of links, a NUL
        return False


def _check_manifest_hash(bundle_dir: Path) -> None:
    path = bundle_dir / MANIFEST_HASH_NAME
    if not path.is_file():
        raise GateError(f"{bundle_dir}: {MANIFEST_HASH_NAME} is missing; export the bundle again")
    if path.read_text(errors="replace").split()[:1] != [_sha256(bundle_dir / MANIFEST_NAME)]:
        raise GateError(f"{bundle_dir}: {MANIFEST_NAME} has changed since the export; export the bundle again")
