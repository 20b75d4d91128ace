"""Opening a device by name, and the command that lists them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import devices
from devices.base import DeviceError, UnknownDeviceError, open_device


def test_unknown_device_suggests_the_closest_name() -> None:
    with pytest.raises(UnknownDeviceError, match="did you mean 'host'") as caught:
        open_device("hots")
    assert caught.value.exit_code == 2


def test_device_whose_package_is_missing_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "far_device.py").write_text("import no_such_transport")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(devices.DEVICES, "far", "far_device.FarDevice")
    with pytest.raises(DeviceError, match="pip install no_such_transport") as caught:
        open_device("far")
    assert caught.value.exit_code == 3


def test_folder_is_gone_after_the_device_is_left(tmp_path: Path) -> None:
    with open_device("host") as device:
        (tmp_path / "where.py").write_text("import os; print(os.getcwd())")
        device.push(tmp_path / "where.py", "where.py")
        folder = Path(device.run("where.py", [], 30.0).stdout.strip())
        assert folder.is_dir()
    assert not folder.exists()


def test_pushed_file_named_like_a_package_does_not_shadow_it(tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text("raise RuntimeError('shadowed')")
    (tmp_path / "use.py").write_text("import numpy; print(numpy.__version__)")
    with open_device("host") as device:
        device.push(tmp_path / "numpy.py", "numpy.py")
        device.push(tmp_path / "use.py", "use.py")
        assert device.run("use.py", [], 60.0).returncode == 0


def test_device_that_is_not_open_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="not open"):
        open_device("host").pull("file", tmp_path / "back")


def test_command_lists_the_host_with_its_facts() -> None:
    command = [sys.executable, "-m", "devices"]
    plain = subprocess.run(command, capture_output=True, text=True, check=True)
    assert plain.stdout.startswith("host: attached")
    found = json.loads(subprocess.run([*command, "--json"], capture_output=True, text=True, check=True).stdout)
    assert found["attached"]["host"]["kind"] == "computer"
    assert found["not_attached"] == {}


def test_script_runs_where_python_has_no_waitid(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delattr("os.waitid", raising=False)  # macOS before Python 3.13
    (tmp_path / "end.py").write_text("import sys; sys.exit(3)")
    with open_device("host") as device:
        device.push(tmp_path / "end.py", "end.py")
        assert device.run("end.py", [], 30.0).returncode == 3


def test_folders_of_killed_processes_are_swept_and_those_of_live_ones_stay(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ended = subprocess.Popen(["true"])
    ended.wait()
    dead, live = tmp_path / f"icd-mobile-host-{ended.pid}-abc", tmp_path / f"icd-mobile-host-{os.getpid()}-abc"
    others = [tmp_path / "icd-mobile-host-abc", tmp_path / f"icd-mobile-host-{ended.pid}-a.b", tmp_path / "other-1-a"]
    for folder in (dead, live, *others):
        folder.mkdir()
    (tmp_path / f"icd-mobile-host-{ended.pid}-link").symlink_to(live)
    with open_device("host"):
        assert not dead.exists()
    assert all(folder.is_dir() for folder in (live, *others))
