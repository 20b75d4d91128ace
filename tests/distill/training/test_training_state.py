"""The file a run goes on from is there whole, or the one before it is."""

from __future__ import annotations

import errno
import pickle
from pathlib import Path

import pytest
import torch

from distill.training.training_state import SCHEMA_VERSION, read_state, write_state
from icd_mobile.errors import InputError


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "checkpoints" / "last.ckpt"
    write_state(path, {"step": 3, "module": {"weight": torch.arange(4.0)}, "best_micro_ap": None})
    return path


def test_it_comes_back_as_it_was_written(written: Path) -> None:
    state = read_state(written)
    assert (state["step"], state["best_micro_ap"]) == (3, None)
    module = state["module"]
    assert isinstance(module, dict)
    assert torch.equal(module["weight"], torch.arange(4.0))
    assert [path.name for path in written.parent.iterdir()] == ["last.ckpt"]


def test_a_full_disk_leaves_the_last_good_one(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = written.read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(InputError, match=r"the disk is full: .*the last good one stays.*--resume"):
        write_state(written, {"step": 4})
    assert written.read_bytes() == before
    assert [path.name for path in written.parent.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize("num_bytes", [0, 10, 600])
def test_a_truncated_one_is_refused(written: Path, num_bytes: int) -> None:
    written.write_bytes(written.read_bytes()[:num_bytes])
    with pytest.raises(InputError, match=r"not a readable training state|damaged"):
        read_state(written)


class _Malicious:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return (open, (str(self.path), "w"))


def test_pickled_code_is_refused_and_not_run(tmp_path: Path) -> None:
    proof, path = tmp_path / "code-was-run", tmp_path / "last.ckpt"
    for save in (
        lambda: torch.save(_Malicious(proof), path),
        lambda: path.write_bytes(pickle.dumps(_Malicious(proof))),
    ):
        save()
        with pytest.raises(InputError, match="start"):
            read_state(path)
    assert not proof.exists()


def test_a_missing_a_foreign_and_a_newer_one_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    with pytest.raises(InputError, match="no training state at"):
        read_state(path)
    torch.save({"weight": torch.zeros(1)}, path)
    with pytest.raises(InputError, match="is not a training state"):
        read_state(path)
    torch.save({"schema_version": SCHEMA_VERSION + 1}, path)
    with pytest.raises(InputError, match="update icd-mobile"):
        read_state(path)
