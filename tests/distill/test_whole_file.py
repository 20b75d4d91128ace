"""A file is whole, whoever else makes it too."""

from __future__ import annotations

from pathlib import Path

import pytest

from distill.files import whole_file


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
