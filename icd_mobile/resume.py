"""One file over HTTPS into a part file, going on where an earlier attempt stopped.

Source: RFC 9110, section 14 (range requests). What the server said of the file (size, ETag, date) is kept beside the
part, so that halves of two versions are never joined. The standard library's client is enough: no dependency.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import IO, cast

from icd_mobile.progress import track_bytes

WAITS_S = (1.0, 2.0, 4.0, 8.0)  # between attempts
TIMEOUT_S = 30.0  # without a byte
_CHUNK_BYTES = 1 << 20
_BUSY = frozenset({408, 429, 500, 502, 503, 504})
_LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})


class FetchError(Exception):
    """Why the file did not come, to be read after its URL; what came of it is kept."""


class _DroppedError(Exception):
    """The same, where another attempt may help."""


def is_allowed(url: str) -> bool:
    """https, or http to this machine."""
    parts = urllib.parse.urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOCAL_HOSTS)


def fetch(url: str, part: Path, what: str) -> None:
    """Bring the whole of `url` into `part`; a few dropped connections are taken up again.

    Raises:
        FetchError: no network, a refusal, a web page instead of the file, or too many dropped connections.
        OSError: the part cannot be written.
    """
    for wait_s in (*WAITS_S, None):
        try:
            return _go_on(url, part, what)
        except _DroppedError as error:
            if wait_s is None:
                raise FetchError(f"{error}, {len(WAITS_S) + 1} times") from error
            print(f"{what}: {error}; again in {wait_s:.0f} s", file=sys.stderr)
            time.sleep(wait_s)
    raise AssertionError("the last attempt returns or raises")


def forget(part: Path) -> None:
    """Remove a part and what was kept beside it."""
    part.unlink(missing_ok=True)
    _version_path(part).unlink(missing_ok=True)


def _go_on(url: str, part: Path, what: str) -> None:
    version = _version_path(part).read_text("utf-8") if _version_path(part).is_file() and part.is_file() else None
    num_have = part.stat().st_size if version else 0
    if version and version.startswith(f"{num_have}\n"):
        return  # whole: the process ended before the file was put in place
    with _open(url, num_have, part) as response:
        resumed = response.status == http.HTTPStatus.PARTIAL_CONTENT
        total = _total_bytes(response, num_have if resumed else 0)
        now = f"{total}\n{response.headers['ETag']}\n{response.headers['Last-Modified']}\n"
        if resumed and now != version:
            forget(part)
            raise _DroppedError("changed at its source since the download began")
        _version_path(part).write_text(now, "utf-8")
        with part.open("ab" if resumed else "wb") as file, track_bytes(what, num_have if resumed else 0, total) as add:
            while chunk := _read(response):
                file.write(chunk)
                add(len(chunk))
    num_have = part.stat().st_size
    if total is not None and num_have != total:
        raise _DroppedError(f"the connection dropped at {num_have:,} of {total:,} bytes")


def _version_path(part: Path) -> Path:
    return part.with_name(f"{part.name}.version")


class _CheckedRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if not is_allowed(newurl):
            raise FetchError("redirects to an address that is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _open(url: str, num_have: int, part: Path) -> http.client.HTTPResponse:
    headers = {"User-Agent": "icd-mobile", "Accept-Encoding": "identity"}
    if num_have:
        headers["Range"] = f"bytes={num_have}-"
    try:
        opener = urllib.request.build_opener(_CheckedRedirects)
        answer = opener.open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            forget(part)
            raise _DroppedError("is shorter than what came of it before") from error
        if error.code in _BUSY:
            raise _DroppedError(f"answered {error.code} {error.reason}") from error
        raise FetchError(f"answered {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(cause, socket.gaierror | ConnectionRefusedError | ssl.SSLCertVerificationError):
            raise FetchError(f"cannot be reached ({cause})") from error
        raise _DroppedError(f"did not answer ({cause})") from error
    response = cast(http.client.HTTPResponse, answer)
    if response.headers.get_content_type() == "text/html":
        response.close()
        raise FetchError("gave a web page instead of the file: a proxy or a login page may stand between")
    return response


def _total_bytes(response: http.client.HTTPResponse, num_have: int) -> int | None:
    """Size of the whole file by the answer's headers; None where the server does not say."""
    if response.status != http.HTTPStatus.PARTIAL_CONTENT:
        return response.length
    given, _, total = (response.headers["Content-Range"] or "").partition("/")
    if not given.startswith(f"bytes {num_have}-"):
        raise FetchError(f"answered a request for bytes from {num_have:,} with '{given}'")
    return int(total) if total.isdecimal() else None


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read1(_CHUNK_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise _DroppedError(f"the connection dropped ({type(error).__name__})") from error
