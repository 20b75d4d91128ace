"""A bundle appears whole or not at all."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from export.bundle.bundle import check_can_write, list_files, staged
from icd_mobile.errors import InputError


def _dead_pid() -> int:
    ended = subprocess.Popen(["true"])
    ended.wait()
    return ended.pid


def test_it_appears_when_the_block_ends(tmp_path: Path) -> None:
    with staged(tmp_path / "bundle") as folder:
        (folder / "model").write_text("new")
        assert not (tmp_path / "bundle").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    assert (tmp_path / "bundle" / "model").read_text() == "new"


def test_an_error_in_the_block_leaves_nothing_new_and_loses_nothing_old(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "model").write_text("old")
    with pytest.raises(RuntimeError), staged(tmp_path / "bundle") as folder:
        (folder / "model").write_text("half")
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    assert (tmp_path / "bundle" / "model").read_text() == "old"


def test_it_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    for content in ("old", "new"):
        with staged(tmp_path / "bundle") as folder:
            (folder / f"{content}.txt").write_text(content)
    assert [path.name for path in (tmp_path / "bundle").iterdir()] == ["new.txt"]
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_what_a_killed_run_left_is_swept_and_a_live_run_is_left_alone(tmp_path: Path) -> None:
    dead, live = tmp_path / f".bundle.{_dead_pid()}.icd-mobile-staging", tmp_path / ".other.1.icd-mobile-staging"
    dead.mkdir()
    live.mkdir()
    with staged(tmp_path / "bundle"):
        assert not dead.exists()
        assert live.exists()


@pytest.mark.parametrize("name", [".cache.20240101.tmp", ".x.99999999999999999999.icd-mobile-staging"])
def test_what_another_program_left_is_not_swept(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with staged(tmp_path / "bundle"):
        assert (tmp_path / name).is_dir()


@pytest.mark.parametrize("manifest", [None, '{"name": "a web app"}'])
def test_a_folder_that_is_no_bundle_is_not_to_be_overwritten(tmp_path: Path, manifest: str | None) -> None:
    folder = tmp_path / "bundle"
    folder.mkdir()
    if manifest is not None:
        (folder / "manifest.json").write_text(manifest)
    with pytest.raises(InputError, match="is no bundle, so it is not replaced"):
        check_can_write(folder, overwrite=True)


def test_a_link_to_a_bundle_is_not_to_be_overwritten(tmp_path: Path, bundle: Path) -> None:
    (tmp_path / "link").symlink_to(bundle)
    with pytest.raises(InputError, match="is not replaced"):
        check_can_write(tmp_path / "link", overwrite=True)


def test_a_bundle_moved_aside_by_a_run_that_was_then_killed_goes_back(tmp_path: Path) -> None:
    aside = tmp_path / f".lost.replaced.{_dead_pid()}.icd-mobile-staging"
    aside.mkdir()
    (aside / "model").write_text("old")
    with staged(tmp_path / "bundle"):
        pass
    assert (tmp_path / "lost" / "model").read_text() == "old"


def test_an_unwritable_folder_is_refused_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda _path, _mode: False)  # root may write anywhere
    with pytest.raises(InputError, match="not writable"):
        check_can_write(tmp_path / "bundle", overwrite=False)


def test_files_are_listed_with_size_and_hash(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.txt").write_bytes(b"abc")
    (tmp_path / "manifest.json").write_bytes(b"{}")
    (entry,) = list_files(tmp_path)
    assert (entry.path, entry.bytes) == ("folder/a.txt", 3)
    # FIPS 180-2, appendix B.1: the SHA-256 of "abc".
    assert entry.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
