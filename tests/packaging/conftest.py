"""The distribution as a person gets it: sdist, the wheel made of it, and that wheel in a folder of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Paths of the `sdist`, the `wheel` and the folder where it is `installed`, and `run`, which is `_run_in`.

    Made once for each process that tests. Nothing is fetched: the build uses the setuptools that is installed.
    """
    folder = tmp_path_factory.mktemp("packaging")
    source, dist, installed = folder / "source", folder / "dist", folder / "installed"
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, source / name)
    dist.mkdir()
    hook = f"from setuptools.build_meta import build_sdist; build_sdist({str(dist)!r})"
    _finish([sys.executable, "-c", hook], source)
    (sdist,) = dist.glob("*.tar.gz")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-index", "--no-deps", "--no-cache-dir"]
    _finish([*pip, "wheel", *offline, "--no-build-isolation", "--wheel-dir", str(dist), str(sdist)], folder)
    (wheel,) = dist.glob("*.whl")
    _finish([*pip, "install", *offline, "--target", str(installed), str(wheel)], folder)
    return SimpleNamespace(sdist=sdist, wheel=wheel, installed=installed, run=_run_in)


def _finish(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def _run_in(installed: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Python on `words` in `folder`, with what is in `installed` first on its path, and the checkout nowhere.

    `-S` leaves out the .pth files, with which an editable install would bring the checkout back.
    """
    path = dict.fromkeys([str(installed), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [sys.executable, "-S", *words],
        cwd=folder,
        env=environment | {"PYTHONPATH": os.pathsep.join(path)},
        capture_output=True,
        text=True,
        check=False,
    )
