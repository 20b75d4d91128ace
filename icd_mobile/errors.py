"""The errors a user can cause, each with the exit code that its cause deserves.

A message says what was needed, what came, and what to do next, in one line. The command lines print it
without a traceback; every other exception is a defect of ours and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(Exception):
    """Wrong use or bad input."""

    exit_code = 2


class GateError(InputError):
    """A gate failed: parity, accuracy, or a bundle that is not what its manifest says."""

    exit_code = 1


class OutsideError(InputError):
    """Something outside the project is missing: a package, a toolchain, a device, the network."""

    exit_code = 3


def unknown_name(what: str, name: str, known: Iterable[str]) -> InputError:
    """The error for a mistyped name, with the closest known one."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else "choose one of those."
    return InputError(f"unknown {what} '{name}': known are {', '.join(names)}; {hint}")
