"""A file is whole, or as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from icd_mobile.files import write_whole


def test_interrupted_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "file"
    write_whole(path, "first")

    def stop(_self: Path, _target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        write_whole(path, "second")
    assert [found.name for found in path.parent.iterdir()] == ["file"]
    assert path.read_text() == "first"
