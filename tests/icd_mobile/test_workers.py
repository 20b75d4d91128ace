"""A worker ends when its parent is killed, also while a batch that nobody fetched waits in the pipe."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

# A process that makes a worker, writes the worker's id, and waits; the worker can put its batches nowhere.
_PARENT = """
import os, sys, time
from pathlib import Path
import multiprocessing
from icd_mobile.workers import end_with_parent

def work(queue, path):
    end_with_parent(0)
    Path(path).write_text(str(os.getpid()))
    queue.put(bytes(10_000_000))  # more than a pipe takes
    queue.close()
    queue.join_thread()

if __name__ == "__main__":
    queue = multiprocessing.Queue()
    multiprocessing.Process(target=work, args=(queue, sys.argv[1])).start()
    time.sleep(60)
"""


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")


def test_a_worker_ends_with_its_killed_parent(tmp_path: Path) -> None:
    script, pid_path = tmp_path / "parent.py", tmp_path / "pid"
    script.write_text(_PARENT)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    parent = subprocess.Popen([sys.executable, str(script), str(pid_path)], env=environment)
    try:
        deadline = time.monotonic() + 30
        while not (pid_path.exists() and pid_path.read_text()) and time.monotonic() < deadline:
            time.sleep(0.05)
        worker = int(pid_path.read_text())
        assert _is_running(worker)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    deadline = time.monotonic() + 30
    while _is_running(worker) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _is_running(worker)
