"""The file a run goes on from: written whole or not at all, read without running code.

Lightning's own writer goes through a temporary folder that may be on another disk, and then copies; a kill or a full
disk in that copy would leave half a file in the place of the last good one.
"""

from __future__ import annotations

import errno
import os
import pickle
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import torch

from icd_mobile.errors import InputError
from icd_mobile.files import whole_file

SCHEMA_VERSION = 1  # 1: first
# Tensors and plain values, nested: all that `torch.load(weights_only=True)` gives back.
State = dict[str, object]


def write_state(path: Path, state: Mapping[str, object]) -> None:
    """Write beside `path`, flush to the disk, then put it in place.

    Raises:
        InputError: the disk is full; what stood at `path` is untouched.
        OSError: it cannot be written for another reason.
    """
    content = BytesIO()
    torch.save({"schema_version": SCHEMA_VERSION, **state}, content)
    try:
        with whole_file(path) as temporary, temporary.open("wb") as file:
            file.write(content.getbuffer())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        kept = "the last good one stays" if path.exists() else "there is none yet"
        size_mb = content.getbuffer().nbytes / 1e6
        raise InputError(
            f"the disk is full: the training state, {size_mb:.0f} MB, does not fit at {path.parent}; {kept}: free some "
            f"space, then go on with --resume"
        ) from error


def read_state(path: Path) -> State:
    """What `write_state` wrote, on the CPU.

    Raises:
        InputError: missing, truncated, foreign, of a newer schema, or with pickled code.
    """
    if not path.is_file():
        raise InputError(f"no training state at {path}: the run stopped before its first; start it anew")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(f"{path} is damaged or holds pickled code, which is never run; start the run anew") from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} is not a readable training state ({type(error).__name__}); start anew") from error
    version = state.get("schema_version") if isinstance(state, dict) else None
    if not isinstance(version, int):
        raise InputError(f"{path} is not a training state of `python -m distill`; give a run folder that it made")
    if version > SCHEMA_VERSION:
        raise InputError(f"{path} has schema {version}, this version reads up to {SCHEMA_VERSION}; update icd-mobile")
    return dict(state)
