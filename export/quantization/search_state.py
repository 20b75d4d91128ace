"""What a search has found so far, in one file beside the bundles, so that an interrupted search goes on.

The file is written whole after every finding. It holds findings of one key only: a search of another student, other
images or another version starts it anew.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from icd_mobile.files import whole_file

SCHEMA_VERSION = 1


def search_key(*parts: str) -> str:
    """sha256 over everything that the findings depend on."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


class SearchState:
    """Findings by name, each with the seconds it cost."""

    def __init__(self, path: Path, key: str) -> None:
        self._path = path
        self._key = key
        self._findings: dict[str, dict[str, Any]] = _read(path, key)
        self.num_reused = len(self._findings)

    @property
    def seconds(self) -> float:
        """What all findings cost together, those of an interrupted run too."""
        return float(sum(finding["seconds"] for finding in self._findings.values()))

    def get(self, name: str, find: Callable[[], Any]) -> Any:
        """What was found under this name; `find`, called where nothing was, gives what JSON can hold."""
        if name not in self._findings:
            start = time.monotonic()
            value = find()
            self._findings[name] = {"value": value, "seconds": time.monotonic() - start}
            content = {"schema_version": SCHEMA_VERSION, "key": self._key, "findings": self._findings}
            with whole_file(self._path) as temporary:
                temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
        return self._findings[name]["value"]


def _read(path: Path, key: str) -> dict[str, dict[str, Any]]:
    """The findings of that key; none where the file is missing, damaged, or of another key or version."""
    try:
        content = json.loads(path.read_bytes())
        if content["schema_version"] != SCHEMA_VERSION or content["key"] != key:
            return {}
        findings: dict[str, dict[str, Any]] = content["findings"]
        return findings if all({"value", "seconds"} <= finding.keys() for finding in findings.values()) else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
