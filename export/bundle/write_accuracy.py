"""A measured accuracy into a bundle that exists: manifest, hash and model card change together or not at all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from export.bundle.bundle import MANIFEST_HASH_NAME, check_files, list_files, read_manifest, staged, write_manifest
from export.bundle.manifest import MANIFEST_NAME, SCHEMA_VERSION, Accuracy
from export.bundle.model_card import CARD_NAME, model_card
from icd_mobile.errors import InputError

_REWRITTEN = {MANIFEST_NAME, MANIFEST_HASH_NAME, CARD_NAME}


def check_can_rewrite(bundle_dir: Path) -> None:
    """Raises InputError where the bundle, or the folder that holds it, cannot be written."""
    bundle_dir = bundle_dir.resolve()
    for folder in (bundle_dir.parent, bundle_dir):
        if not os.access(folder, os.W_OK | os.X_OK):
            raise InputError(
                f"{folder} is not writable, so no threshold can go into {bundle_dir.name}; copy the bundle"
            )


def write_accuracy(bundle_dir: Path, accuracy: Accuracy) -> None:
    """Rewrite a bundle with this accuracy in its manifest and its card.

    The new bundle is made beside the old one, of hard links where the file system has them, and takes its place in one
    rename; a crash leaves either, and the next export or rewrite there sweeps up.

    Raises:
        InputError: not a bundle, or the folder cannot be written.
        GateError: the bundle has changed since its export.
    """
    bundle_dir = bundle_dir.resolve()  # of a link, what it leads to is rewritten
    manifest = read_manifest(bundle_dir)
    check_files(bundle_dir, manifest)
    manifest = manifest.model_copy(update={"schema_version": SCHEMA_VERSION, "accuracy": accuracy})

    def rewritten(folder: str, _names: list[str]) -> set[str]:
        return _REWRITTEN if Path(folder) == bundle_dir else set()

    try:
        with staged(bundle_dir) as folder:
            shutil.copytree(bundle_dir, folder, ignore=rewritten, copy_function=_link, dirs_exist_ok=True)
            (folder / CARD_NAME).write_text(model_card(manifest), encoding="utf-8")
            write_manifest(folder, manifest.model_copy(update={"files": list_files(folder)}))
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"cannot rewrite {bundle_dir} ({reason}); check its folder's rights") from error


def _link(source: str, destination: str) -> None:
    try:
        os.link(source, destination)
    except OSError:  # a file system without hard links
        shutil.copy2(source, destination)
