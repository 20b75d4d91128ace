"""Which revision of this code runs."""

from __future__ import annotations

import subprocess
from pathlib import Path


def git_revision() -> str | None:
    """Of the code that ran, marked where it was changed; None outside a repository."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
