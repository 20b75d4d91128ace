"""What every device in the table must do; a new one inherits these tests by its entry."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from devices import DEVICES
from devices.base import CompletedRun, Device, DeviceError, DeviceFacts, open_device


@pytest.fixture(params=sorted(DEVICES))
def device(request: pytest.FixtureRequest) -> Iterator[Device]:
    with open_device(request.param) as opened:
        yield opened


def script(folder: Path, text: str) -> Path:
    path = folder / "script.py"
    path.write_text(text)
    return path


def run(device: Device, folder: Path, text: str, *arguments: str, timeout_s: float = 60.0) -> CompletedRun:
    device.push(script(folder, text), "script.py")
    return device.run("script.py", list(arguments), timeout_s)


def test_pushed_file_comes_back_unchanged(device: Device, tmp_path: Path) -> None:
    content = bytes(range(256)) * 100
    (tmp_path / "sent").write_bytes(content)
    device.push(tmp_path / "sent", "deep/down/file.bin")
    device.pull("deep/down/file.bin", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content


def test_pushed_folder_keeps_its_tree(device: Device, tmp_path: Path) -> None:
    (tmp_path / "model" / "weights").mkdir(parents=True)
    (tmp_path / "model" / "weights" / "w.bin").write_bytes(b"w")
    device.push(tmp_path / "model", "model")
    device.pull("model/weights/w.bin", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"w"


def test_second_push_of_a_folder_replaces_the_first(device: Device, tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.bin").write_bytes(b"w")
        device.push(tmp_path / name, "model")
    device.pull("model/new.bin", tmp_path / "back")
    with pytest.raises(DeviceError, match="no such file"):
        device.pull("model/old.bin", tmp_path / "back")


def test_second_push_replaces_the_first(device: Device, tmp_path: Path) -> None:
    for content in (b"first, longer", b"second"):
        (tmp_path / "sent").write_bytes(content)
        device.push(tmp_path / "sent", "file")
    device.pull("file", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"second"


def test_script_runs_in_the_folder_with_its_arguments_unchanged(device: Device, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("hello")
    device.push(tmp_path / "data", "data")
    awkward = "a b;$(touch x)'\"*"
    done = run(device, tmp_path, "import sys\nprint(open('data').read(), *sys.argv[1:], sep='|')", awkward, "", "ä")
    assert done.returncode == 0
    assert done.stdout.strip() == f"hello|{awkward}||ä"


def test_each_run_is_a_fresh_process(device: Device, tmp_path: Path) -> None:
    runs = [run(device, tmp_path, "import os; print(os.getpid())").stdout for _ in range(2)]
    assert runs[0] != runs[1]


def test_failing_script_gives_its_exit_code_and_both_outputs(device: Device, tmp_path: Path) -> None:
    done = run(device, tmp_path, "import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)")
    assert (done.returncode, done.stdout.strip(), done.stderr.strip()) == (7, "out", "err")


def test_crashed_script_gives_the_signal_as_a_negative_code(device: Device, tmp_path: Path) -> None:
    assert run(device, tmp_path, "import os; os.kill(os.getpid(), 11)").returncode == -11


def test_much_output_on_both_streams_does_not_block(device: Device, tmp_path: Path) -> None:
    text = "import sys\nfor i in range(20000): print('o' * 50); print('e' * 50, file=sys.stderr)"
    done = run(device, tmp_path, text)
    assert len(done.stdout.splitlines()) == len(done.stderr.splitlines()) == 20_000


def test_lines_arrive_while_the_script_runs(device: Device, tmp_path: Path) -> None:
    text = "import time\nprint('early', flush=True)\ntime.sleep(1.5)\nprint('late')"
    device.push(script(tmp_path, text), "script.py")
    seen: list[tuple[str, float]] = []
    device.run("script.py", [], 60.0, on_line=lambda line: seen.append((line, time.monotonic())))
    assert [line for line, _ in seen] == ["early", "late"]
    assert seen[1][1] - seen[0][1] > 1.0


def test_script_past_its_limit_is_ended_with_what_it_started(device: Device, tmp_path: Path) -> None:
    text = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "open('child', 'w').write(str(child.pid))\n"
        "time.sleep(60)"
    )
    start = time.monotonic()
    with pytest.raises(DeviceError, match="past its limit of 3 s"):
        run(device, tmp_path, text, timeout_s=3.0)
    assert time.monotonic() - start < 20
    device.pull("child", tmp_path / "child")
    if device.facts().name == "host":
        assert_gone(int((tmp_path / "child").read_text()))


def test_what_a_script_leaves_running_is_ended_with_it(device: Device, tmp_path: Path) -> None:
    text = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], stdout=subprocess.DEVNULL)\n"
        "print(child.pid)"
    )
    done = run(device, tmp_path, text)
    assert done.returncode == 0
    if device.facts().name == "host":
        assert_gone(int(done.stdout))


def assert_gone(pid: int) -> None:
    for _ in range(100):
        try:
            os.kill(pid, 0)
            if "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]:
                return
        except (ProcessLookupError, FileNotFoundError):
            return
        time.sleep(0.05)
    pytest.fail(f"process {pid} still runs")


@pytest.mark.parametrize("name", ["../out", "/etc/passwd", "a/../../out", "", ".", "a\\b", "nul\0"])
def test_names_that_lead_outside_the_folder_are_refused(device: Device, tmp_path: Path, name: str) -> None:
    (tmp_path / "sent").write_bytes(b"x")
    with pytest.raises(DeviceError, match="inside the device's folder"):
        device.push(tmp_path / "sent", name)
    with pytest.raises(DeviceError, match="inside the device's folder"):
        device.pull(name, tmp_path / "back")
    with pytest.raises(DeviceError, match="inside the device's folder"):
        device.run(name, [], 5.0)


def test_missing_files_are_named(device: Device, tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="absent"):
        device.push(tmp_path / "absent", "name")
    with pytest.raises(DeviceError, match="nothing_here"):
        device.pull("nothing_here", tmp_path / "back")
    with pytest.raises(DeviceError, match="push it first"):
        device.run("nothing_here.py", [], 5.0)


def test_failed_pull_leaves_what_was_there(device: Device, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("kept")
    with pytest.raises(DeviceError):
        device.pull("absent", tmp_path / "mine")
    assert (tmp_path / "mine").read_text() == "kept"


def test_facts_tell_every_field_or_say_not_measured(device: Device) -> None:
    facts = device.facts()
    assert facts.name in DEVICES
    for field in fields(DeviceFacts):
        value = getattr(facts, field.name)
        assert value is None or value, f"{field.name} is blank"
    assert facts.num_cpus is None or facts.num_cpus >= 1
    assert facts.memory_bytes is None or facts.memory_bytes > 2**20


def test_folders_of_two_openings_are_apart(device: Device, tmp_path: Path) -> None:
    (tmp_path / "sent").write_bytes(b"x")
    device.push(tmp_path / "sent", "file")
    with open_device(device.facts().name) as other, pytest.raises(DeviceError, match="no such file"):
        other.pull("file", tmp_path / "back")
