"""`icd-mobile COMMAND`: the packages' own command lines, found whatever the working folder or its neighbours hold.

`python -m export` runs the first `export` on Python's path, be it a person's own folder; and another distribution with
a package of that name writes over ours. A command runs as `python -m` runs it: same arguments, texts and exit codes.
"""

from __future__ import annotations

import runpy
import sys
from importlib.machinery import PathFinder
from pathlib import Path

from icd_mobile.errors import InputError, OutsideError, unknown_name

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = {
    "distill": "photographs and a teacher to a student checkpoint",
    "export": "a student checkpoint to bundles for phones; or --verify of a bundle",
    "bench": "bundles and a device to records, and records to a report; datasets and their judge",
    "devices": "what a bench can run on",
}
_ROWS = "\n".join(f"  {name:<10} {what}" for name, what in COMMANDS.items())
USAGE = f"""Usage: icd-mobile COMMAND [OPTIONS]

Image copy detection on phones: distil, export and benchmark mobile descriptors.

{_ROWS}

`icd-mobile COMMAND --help` tells the rest. `python -m COMMAND` is the same, where no other package of that name is in
the working folder or installed.
"""


def main() -> None:
    """Run the command that the first argument names, on the arguments after it."""
    if len(sys.argv) < 2 or sys.argv[1] in {"-h", "--help"}:
        print(USAGE, end="")
        sys.exit(0 if len(sys.argv) > 1 else InputError.exit_code)
    name = sys.argv[1]
    try:
        if name not in COMMANDS:
            raise unknown_name("command", name, COMMANDS)
        put_ours_first()
        for package in COMMANDS:
            check_ours(package)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    del sys.argv[1]
    runpy.run_module(name, run_name="__main__", alter_sys=True)


def put_ours_first() -> None:
    """Have Python look beside this package before any folder that holds one of our packages' names.

    Processes that are spawned later take the path over.
    """
    hiding = (
        index for index, folder in enumerate(sys.path) if any(PathFinder.find_spec(name, [folder]) for name in COMMANDS)
    )
    sys.path.insert(next(hiding, len(sys.path)), str(ROOT))


def check_ours(package: str) -> None:
    """Make sure that what is imported as `package` is this distribution's.

    Raises:
        OutsideError: it lies elsewhere, is gone, or is not what was installed here.
    """
    spec = PathFinder.find_spec(package, sys.path)
    found = Path(spec.origin).resolve() if spec is not None and spec.origin else None
    if found is None or found != ROOT / package / "__init__.py":
        problem = "is not there" if found is None else f"is hidden by {found}"
    elif _is_overwritten(package):
        problem = f"was overwritten by another distribution's, in {ROOT / package}"
    else:
        return
    raise OutsideError(
        f"icd-mobile's package '{package}' {problem}: uninstall that other package, then "
        "pip install --force-reinstall --no-deps icd-mobile"
    )


def _is_overwritten(package: str) -> bool:
    """Whether `package`'s two entry files have another hash than the installer recorded; a checkout has no record."""
    import base64
    import hashlib
    from importlib.metadata import distributions

    for distribution in distributions(name="icd-mobile", path=[str(ROOT)]):
        for file in distribution.files or ():
            if file.hash is None or str(file) not in {f"{package}/__init__.py", f"{package}/__main__.py"}:
                continue
            path = ROOT / file
            digest = hashlib.sha256(path.read_bytes()).digest() if path.is_file() else b""
            if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != file.hash.value:
                return True
    return False


if __name__ == "__main__":
    main()
