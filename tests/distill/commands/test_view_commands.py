"""`augment-preview` and `cache-teacher`, run as a user runs them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from distill.__main__ import app
from distill.augmentations.views import ViewKey
from distill.teacher_cache.key import read_key
from distill.teacher_cache.views import CachedViews
from icd_mobile.datasets.sample_pictures import procedural_picture
from icd_mobile.pictures.collection import Photos


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-one pictures, one of them twice, and one file that does not decode."""
    folder = tmp_path_factory.mktemp("made") / "pictures"
    folder.mkdir()
    for seed in range(21):
        procedural_picture(seed, (40, 32)).save(folder / f"{seed:02d}.png")
    (folder / "copy.png").write_bytes((folder / "03.png").read_bytes())
    (folder / "corrupt.jpg").write_bytes(b"not an image")
    return folder


def _run(monkeypatch: pytest.MonkeyPatch, command: str, *flags: str, **options: object) -> int:
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    monkeypatch.setattr(sys, "argv", ["distill", command, *words, *flags])
    with pytest.raises(SystemExit) as stopped:
        app()
    return int(stopped.value.code or 0)


def test_a_preview_has_a_row_for_each_photograph(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sheets = []
    for name in ("a.png", "b.png"):
        options = {"images": pictures, "augmentation": "copy", "rows": 3, "views": 2, "size": 48}
        assert _run(monkeypatch, "augment-preview", "--json", out=tmp_path / name, **options) == 0
        printed = json.loads(capsys.readouterr().out)
        assert (printed["augmentation"], printed["rows"], printed["views"]) == ("copy", 3, 2)
        sheets.append((tmp_path / name).read_bytes())
    assert sheets[0] == sheets[1]
    with Image.open(tmp_path / "a.png") as sheet:
        assert sheet.width == 6 + 3 * (48 + 6)  # the photograph and two views, 6 px around each
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_cache_is_made_once(
    pictures: Path,
    tiny_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = {"images": pictures, "teacher": tiny_checkpoint, "out": tmp_path, "views": 2, "size": 64}
    assert _run(monkeypatch, "cache-teacher", "--json", **options) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert (result["num_photos"], result["num_corrupt"], result["num_duplicates"]) == (21, 1, 1)
    assert (result["num_shards_made"], result["descriptor_dim"], result["render_size_px"]) == (1, 64, 64)
    assert "left out 1 corrupt and 1 duplicate images of 23" in printed.err
    assert (tmp_path / "skipped.csv").read_text().splitlines()[1] == "copy.png,the same file as 03.png"
    assert str(pictures.parent) not in (tmp_path / "cache.json").read_text(), "no path of the machine"
    assert CachedViews(tmp_path, 2, seed=0)[ViewKey(0, 20)].views.shape == (2, 64, 64, 3)

    before = (tmp_path / "shard-00000.npy").read_bytes()
    assert _run(monkeypatch, "cache-teacher", "--json", **options) == 0
    assert json.loads(capsys.readouterr().out)["num_shards_made"] == 0
    assert (tmp_path / "shard-00000.npy").read_bytes() == before

    assert _run(monkeypatch, "cache-teacher", **(options | {"seed": 1})) == 2
    assert "was made with seed 0, this run has 1" in capsys.readouterr().err
    assert read_key(tmp_path).seed == 0


def test_a_photograph_lost_under_a_worker_is_one_line(
    pictures: Path,
    tiny_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """PyTorch hands on an error of a worker with that worker's traceback in its text."""

    def vanish(self: Photos, index: int) -> Image.Image:
        (tmp_path / "gone").mkdir(exist_ok=True)
        return read(Photos(tmp_path / "gone", self.files, self.sha256), index)

    read = Photos.__getitem__
    monkeypatch.setattr(Photos, "__getitem__", vanish)
    options = {"images": pictures, "teacher": tiny_checkpoint, "out": tmp_path / "out", "views": 2, "size": 64}
    assert _run(monkeypatch, "cache-teacher", workers=1, **options) == 2
    (error,) = [line for line in capsys.readouterr().err.splitlines() if "error" in line.lower()]
    assert error.startswith("error: 00.png in")
    assert error.endswith("put it back and start again")


@pytest.mark.parametrize(
    ("command", "changes", "message"),
    [
        ("augment-preview", {"images": "absent"}, "no folder or tar of images at absent"),
        ("augment-preview", {"out": "sheet.jpg"}, "--out needs a file name that ends in .png, got sheet.jpg"),
        ("augment-preview", {"augmentation": "advance"}, "did you mean 'advanced'?"),
        ("cache-teacher", {"teacher": "absent.safetensors"}, "absent.safetensors"),
        ("cache-teacher", {"augmentation": "copies"}, "did you mean 'copy'?"),
        ("cache-teacher", {"out": __file__}, "--out needs a folder, got the file"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    command: str,
    changes: dict[str, object],
    message: str,
    pictures: Path,
    tiny_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = {"images": pictures, "out": tmp_path / ("sheet.png" if command == "augment-preview" else "cache")}
    if command == "cache-teacher":
        options |= {"teacher": tiny_checkpoint}
    assert _run(monkeypatch, command, **(options | changes)) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert list(tmp_path.iterdir()) == []
