"""A file is whole, whoever else makes it too."""

from __future__ import annotations

from pathlib import Path

import pytest

from icd_mobile.files import whole_file


def test_two_processes_that_make_one_file_do_not_mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "file"
    with whole_file(path) as first:
        first.write_text("first")
        with monkeypatch.context() as other:
            other.setattr("os.getpid", lambda: 0)  # no process has it
            with whole_file(path) as second:
                assert not second.exists()
                second.write_text("second")
        assert path.read_text() == "second"
        assert first.read_text() == "first"
    assert path.read_text() == "first"
    assert [found.name for found in path.parent.iterdir()] == ["file"]


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    """Beyond the largest process id that Linux gives, 4,194,304, nothing runs; process 1 always does."""
    names = [".a.999999999.tmp", ".a.99999999999999999999.tmp", ".a.1.tmp", ".a.txt.tmp", ".b.999999999.tmp"]
    for name in names:
        (tmp_path / name).write_text("half")
    with whole_file(tmp_path / "a") as temporary:
        temporary.write_text("whole")
    assert sorted(found.name for found in tmp_path.iterdir()) == [".a.1.tmp", ".a.txt.tmp", ".b.999999999.tmp", "a"]
