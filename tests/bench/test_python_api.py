"""The documented Python interface: every name is there, each function's example runs, and so does the page."""

from __future__ import annotations

import ast
import doctest
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import icd_mobile
from bench.records.latency import Preset
from icd_mobile import InputError, describe, open_bundle, open_checkpoint

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
FUNCTIONS = [name for name in icd_mobile.__all__ if inspect.isfunction(getattr(icd_mobile, name))]


@pytest.fixture
def names(bundle_dir: Path, dataset_dir: Path) -> dict[str, object]:
    """What the examples speak of: a bundle, a benchmark's folder, two photographs, and all that is public."""
    return {
        "bundle": bundle_dir,
        "dataset": dataset_dir,
        "photos": sorted((dataset_dir / "references").iterdir())[:2],
        "preset": Preset("tiny", min_count=5, min_s=0.02, limit_s=30.0),
        "describer": open_bundle(bundle_dir),
        "np": np,
        **{name: getattr(icd_mobile, name) for name in icd_mobile.__all__},
    }


def test_every_public_name_is_listed_alike_for_readers_and_for_type_checkers() -> None:
    tree = ast.parse(Path(icd_mobile.__file__).read_text(encoding="utf-8"))
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    typed = {
        alias.name: node.module for node in guarded.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert typed == icd_mobile._PLACES
    assert sorted(typed) == sorted(icd_mobile.__all__) == sorted(dir(icd_mobile))
    assert (ROOT / "icd_mobile" / "py.typed").is_file()


def test_every_public_name_is_on_the_page() -> None:
    assert [name for name in icd_mobile.__all__ if f"`{name}" not in PAGE] == []


@pytest.mark.parametrize("name", [*FUNCTIONS, "Describer.describe"])
def test_every_function_has_an_example_that_runs(
    name: str, names: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    function = icd_mobile
    for part in name.split("."):
        function = getattr(function, part)
    (example,) = doctest.DocTestFinder(recurse=False).find(function, name, globs=names)
    assert example.examples, f"{name} has no example"
    result = doctest.DocTestRunner().run(example)
    assert result.failed == 0


def test_the_page_runs_from_top_to_bottom(
    names: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my-bundle").symlink_to(str(names["bundle"]))
    (tmp_path / "my-benchmark").symlink_to(str(names["dataset"]))
    (tmp_path / "photos").symlink_to(Path(str(names["dataset"])) / "references")
    monkeypatch.setitem(icd_mobile.PRESETS, "smoke", names["preset"])
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert blocks
    space: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), space)  # our own page


def test_a_picture_is_the_same_by_path_bytes_image_or_array(bundle_dir: Path, dataset_dir: Path) -> None:
    path = dataset_dir / "references" / "r0.png"
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    rows = describe(bundle_dir, [path, str(path), path.read_bytes(), image, np.asarray(image)])
    assert rows.shape == (5, 192)
    assert (rows == rows[0]).all()


def test_pictures_are_described_a_few_at_a_time_and_none_gives_none(bundle_dir: Path, dataset_dir: Path) -> None:
    paths = sorted((dataset_dir / "references").iterdir())
    describer = open_bundle(bundle_dir)
    assert describer.describe(paths * 7).tobytes() == np.tile(describer.describe(paths), (7, 1)).tobytes()
    assert describer.describe([]).shape == (0, 192)


def test_a_checkpoint_is_described_as_its_bundles_are(tiny_checkpoint: Path, dataset_dir: Path) -> None:
    paths = sorted((dataset_dir / "references").iterdir())
    rows = open_checkpoint(tiny_checkpoint).describe(paths)
    assert rows.shape == (len(paths), 64)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-5)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (b"", "picture 0 cannot be read: the file is empty"),
        (np.zeros((8, 8), np.uint8), r"picture 0 must be an RGB array \(H, W, 3\) of uint8, got \(8, 8\) of uint8"),
        ("gone.jpg", "gone.jpg cannot be read: "),
    ],
)
def test_a_picture_that_cannot_be_read_is_named(bundle_dir: Path, picture: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        describe(bundle_dir, [picture])  # type: ignore[list-item]


def test_a_name_that_is_not_public_says_what_is() -> None:
    with pytest.raises(AttributeError, match="'icd_mobile' has no attribute 'serch'; it offers PRESETS, Accuracy"):
        icd_mobile.serch  # noqa: B018 (the look-up is what is tested)


def test_a_folder_of_the_user_s_own_that_hides_a_package_is_named(tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "__init__.py").write_text("")
    done = subprocess.run(
        [sys.executable, "-c", "from icd_mobile import describe"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert f"'export' is hidden by {tmp_path / 'export' / '__init__.py'}: rename that" in done.stderr
