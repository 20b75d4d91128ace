"""Downloads against a server in this process that does to us what real ones do."""

from __future__ import annotations

import hashlib
import multiprocessing
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from icd_mobile import resume
from icd_mobile.download import cache_dir, download, file_sha256
from icd_mobile.errors import InputError, OutsideError

CONTENT = bytes(range(256)) * 4096  # 1 MiB
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Behaviour:
    """What the server does next, and what it was asked."""

    content: bytes = CONTENT
    etag: str | None = '"one"'
    takes_ranges: bool = True
    drop_after: list[int] = field(default_factory=list)  # bytes sent before each drop, one entry an answer
    status: int = 200
    content_type: str = "application/octet-stream"
    location: str | None = None
    says_length: bool = True
    pause_s: float = 0.0  # before the last byte
    ranges: list[str | None] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        does: Behaviour = self.server.behaviour  # type: ignore[attr-defined]
        asked = self.headers["Range"]
        does.ranges.append(asked)
        if does.location or does.status != 200:
            self.send_response(302 if does.location else does.status)
            self.send_header("Location", does.location or "")
            self.end_headers()
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and does.takes_ranges else 0
        if start >= len(does.content):
            self.send_error(416)
            return
        body = does.content[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(does.content) - 1}/{len(does.content)}")
        if does.etag:
            self.send_header("ETag", does.etag)
        self.send_header("Content-Type", does.content_type)
        if does.says_length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        body = body[: does.drop_after.pop(0)] if does.drop_after else body
        self.wfile.write(body[:-1])
        time.sleep(does.pause_s)
        self.wfile.write(body[-1:])

    def log_message(self, *_words: object) -> None:
        """Nothing on standard error."""


@pytest.fixture
def server() -> Iterator[tuple[str, Behaviour]]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as listening:
        listening.behaviour = behaviour = Behaviour()  # type: ignore[attr-defined]
        threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}/weights.pt", behaviour
        listening.shutdown()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "WAITS_S", (0.0, 0.0, 0.0))
    monkeypatch.delenv("ICD_MOBILE_OFFLINE", raising=False)


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {".weights.pt.lock"}


def test_a_file_comes_whole_and_its_hash_is_recorded(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    url, does = server
    path = tmp_path / "new" / "weights.pt"
    assert download(url, path, what="weights") == SHA256
    assert path.read_bytes() == CONTENT
    assert _names(path.parent) == {"weights.pt", "weights.pt.sha256"}
    # The form that `sha256sum -c` reads: the hash, two spaces, the name.
    assert (tmp_path / "new" / "weights.pt.sha256").read_text() == f"{SHA256}  weights.pt\n"
    assert download(url, path, sha256=SHA256, num_bytes=len(CONTENT), what="weights") == SHA256
    assert does.ranges == [None], "a file that is there is not asked for again"


def test_a_dropped_connection_is_taken_up_where_it_dropped(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    url, does = server
    does.drop_after = [400_000, 100_000]
    assert download(url, tmp_path / "weights.pt", sha256=SHA256, what="weights") == SHA256
    assert does.ranges == [None, "bytes=400000-", "bytes=500000-"]


def test_a_later_run_goes_on_from_the_part(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    url, does = server
    does.drop_after = [300_000, 0, 0, 0]
    with pytest.raises(OutsideError, match=r"dropped at 300,000 of 1,048,576 bytes, 4 times; try again, or fetch http"):
        download(url, tmp_path / "weights.pt", what="weights")
    assert (tmp_path / "weights.pt.part").read_bytes() == CONTENT[:300_000]
    assert not (tmp_path / "weights.pt").exists()
    does.ranges.clear()
    assert download(url, tmp_path / "weights.pt", what="weights") == SHA256
    assert does.ranges == ["bytes=300000-"]
    assert _names(tmp_path) == {"weights.pt", "weights.pt.sha256"}


def test_a_whole_part_is_put_in_place_without_another_request(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    url, does = server
    part = tmp_path / "weights.pt.part"
    resume.fetch(url, part, "weights")  # and then the process ends
    assert download(url, tmp_path / "weights.pt", what="weights") == SHA256
    assert does.ranges == [None]


def test_halves_of_two_versions_are_never_joined(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    url, does = server
    does.drop_after = [300_000, 0, 0, 0]
    with pytest.raises(OutsideError):
        download(url, tmp_path / "weights.pt", what="weights")
    does.content, does.etag = CONTENT[::-1], '"two"'
    download(url, tmp_path / "weights.pt", what="weights")
    assert (tmp_path / "weights.pt").read_bytes() == CONTENT[::-1]


def test_a_part_longer_than_the_file_is_begun_again(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    url, does = server
    does.drop_after = [300_000, 0, 0, 0]
    with pytest.raises(OutsideError):
        download(url, tmp_path / "weights.pt", what="weights")
    does.content, does.etag = CONTENT[:1000], '"two"'
    assert download(url, tmp_path / "weights.pt", what="weights") == hashlib.sha256(CONTENT[:1000]).hexdigest()


def test_a_server_that_ignores_ranges_is_read_from_the_start(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    url, does = server
    does.takes_ranges, does.drop_after = False, [400_000]
    assert download(url, tmp_path / "weights.pt", what="weights") == SHA256
    assert does.ranges == [None, "bytes=400000-"]


def test_a_server_that_does_not_say_the_length_is_read_to_its_end(
    server: tuple[str, Behaviour], tmp_path: Path
) -> None:
    url, does = server
    does.says_length = False
    assert download(url, tmp_path / "weights.pt", what="weights") == SHA256


@pytest.mark.parametrize(
    ("pins", "problem"),
    [({"sha256": "0" * 64}, f"sha256 {SHA256}, not {'0' * 64} as pinned here"), ({"num_bytes": 7}, "bytes, not 7")],
)
def test_another_file_than_the_pinned_one_is_refused_and_removed(
    server: tuple[str, Behaviour], tmp_path: Path, pins: dict[str, str], problem: str
) -> None:
    with pytest.raises(OutsideError, match=problem):
        download(server[0], tmp_path / "weights.pt", what="weights", **pins)  # type: ignore[arg-type]
    assert _names(tmp_path) == set()


def test_another_file_than_at_first_use_is_refused(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    url, does = server
    path = tmp_path / "weights.pt"
    download(url, path, what="weights")
    path.unlink()
    does.content = b"another"
    with pytest.raises(OutsideError, match=f"not {SHA256} as recorded in weights.pt.sha256"):
        download(url, path, what="weights")
    path.write_bytes(b"put by hand")
    with pytest.raises(InputError, match=f"not {SHA256} as recorded in weights.pt.sha256; remove it"):
        download(url, path, what="weights")


def test_a_file_placed_by_hand_is_recorded_at_first_use(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(CONTENT)
    assert download("https://nowhere.invalid/weights.pt", path, what="weights") == SHA256
    path.write_bytes(CONTENT[1:])
    with pytest.raises(InputError, match=r"recorded in weights\.pt\.sha256"):
        download("https://nowhere.invalid/weights.pt", path, what="weights")


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(CONTENT)
    (tmp_path / "weights.pt.sha256").write_text("not a hash")
    with pytest.raises(InputError, match=r"weights\.pt\.sha256 is damaged"):
        download("https://nowhere.invalid/weights.pt", path, what="weights")


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_refusal_is_final_and_says_what_to_do(server: tuple[str, Behaviour], tmp_path: Path, status: int) -> None:
    url, does = server
    does.status = status
    with pytest.raises(
        OutsideError, match=f"{url} answered {status} .*; try again, or fetch .* and put it at {tmp_path}"
    ):
        download(url, tmp_path / "weights.pt", what="weights")
    assert does.ranges == [None]


def test_a_busy_server_is_asked_again(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    url, does = server
    does.status = 503
    with pytest.raises(OutsideError, match=r"answered 503 Service Unavailable, 4 times"):
        download(url, tmp_path / "weights.pt", what="weights")
    assert does.ranges == [None] * 4


def test_a_login_page_is_not_taken_for_weights(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    url, does = server
    does.content_type = "text/html; charset=utf-8"
    with pytest.raises(OutsideError, match="gave a web page instead of the file"):
        download(url, tmp_path / "weights.pt", what="weights")
    assert _names(tmp_path) == set()


@pytest.mark.parametrize("url", ["http://example.org/w.pt", "ftp://example.org/w.pt", "file:///etc/passwd", "w.pt"])
def test_only_https_is_trusted(tmp_path: Path, url: str) -> None:
    with pytest.raises(InputError, match="only https is trusted"):
        download(url, tmp_path / "w.pt", what="weights")


@pytest.mark.parametrize("location", ["http://example.org/w.pt", "ftp://example.org/w.pt"])
def test_a_redirect_away_from_https_is_refused(server: tuple[str, Behaviour], tmp_path: Path, location: str) -> None:
    url, does = server
    does.location = location
    with pytest.raises(OutsideError, match="redirects to an address that is not https"):
        download(url, tmp_path / "weights.pt", what="weights")


def test_offline_says_which_file_to_put_where(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ICD_MOBILE_OFFLINE", "1")
    path = tmp_path / "w.pt"
    with pytest.raises(OutsideError) as stopped:
        download("https://example.org/w.pt", path, what="teacher x")
    assert str(stopped.value) == (
        "teacher x is not here and ICD_MOBILE_OFFLINE is set: "
        f"fetch https://example.org/w.pt elsewhere and put it at {path}"
    )
    assert stopped.value.exit_code == 3


def test_no_network_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(OutsideError, match=r"https://nowhere\.invalid/w\.pt (cannot be reached|did not answer)"):
        download("https://nowhere.invalid/w.pt", tmp_path / "w.pt", what="weights")


def test_a_place_that_cannot_be_written_is_one_line(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"cannot write .*/in/weights\.pt \(Not a directory\)") as stopped:
        download(server[0], tmp_path / "file" / "in" / "weights.pt", what="weights")
    assert stopped.value.exit_code == 2


def test_two_processes_do_not_disturb_each_other(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    url, does = server
    does.pause_s = 1.0
    path = tmp_path / "weights.pt"
    context = multiprocessing.get_context("spawn")
    others = [context.Process(target=download, args=(url, path), kwargs={"what": "weights"}) for _ in range(3)]
    for process in others:
        process.start()
    for process in others:
        process.join(30)
    assert [process.exitcode for process in others] == [0, 0, 0]
    assert file_sha256(path) == SHA256
    assert does.ranges == [None], "the others waited for the first"


def test_the_cache_is_where_the_user_or_the_platform_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICD_MOBILE_CACHE", "/somewhere/else")
    assert cache_dir() == Path("/somewhere/else")
    monkeypatch.delenv("ICD_MOBILE_CACHE")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache/me")
    assert cache_dir() == Path("/var/cache/me/icd-mobile")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # "should consider the path invalid and ignore it", XDG 0.8
    assert cache_dir() == Path("/home/me/.cache/icd-mobile")
    monkeypatch.setattr("sys.platform", "darwin")
    assert cache_dir() == Path("/home/me/Library/Caches/icd-mobile")
