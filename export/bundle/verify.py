"""Is a bundle still what was exported? Every file's hash, then the golden images where the runtime is present."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from export.bundle.bundle import check_files, read_manifest
from export.bundle.golden import GOLDEN_DIR, read_golden
from export.bundle.parity import RERUN_COSINE_MIN_BARS, cosines, run_artifact
from icd_mobile.errors import GateError, OutsideError
from icd_mobile.evidence import Evidence
from icd_mobile.quiet import output_to


@dataclass(frozen=True)
class Verified:
    """What was checked. `cosine_min` is None where the artifact could not be run; `how` says why, or what ran it."""

    bundle: str
    num_files: int
    num_golden: int
    evidence: Evidence
    cosine_min: float | None
    how: str

    def line(self) -> str:
        golden = (
            f"golden images not run: {self.how}"
            if self.cosine_min is None
            else f"{self.num_golden} golden images give their descriptors "
            f"(least cosine {self.cosine_min:.6f}, {self.evidence}, {self.how})"
        )
        return f"ok: {self.bundle}: {self.num_files} files unchanged; {golden}"


def verify_bundle(bundle_dir: Path) -> Verified:
    """Check one bundle.

    Raises:
        InputError: not a bundle.
        GateError: a file changed, missing, added or outside; or golden images that give other descriptors.
    """
    manifest = read_manifest(bundle_dir)
    check_files(bundle_dir, manifest)
    pixels, expected = read_golden(bundle_dir / GOLDEN_DIR)
    evidence: Evidence = "not measured"
    cosine_min = None
    try:
        with output_to(Path(os.devnull)):
            run = run_artifact(manifest.target, bundle_dir / manifest.model_path, pixels)
    except OutsideError as error:
        how = str(error)
    except Exception as error:
        first_line = (str(error).strip().splitlines() or [""])[0]
        problem = f"{type(error).__name__}: {first_line[:160]}"
        raise GateError(f"{bundle_dir}: the artifact does not run here ({problem}); do not ship it") from error
    else:
        evidence, how = run.evidence, run.how
        cosine_min = float(cosines(expected, run.descriptors).min())
        bar = RERUN_COSINE_MIN_BARS[manifest.precision]
        if not cosine_min >= bar:
            raise GateError(
                f"{bundle_dir}: golden images give other descriptors here (least cosine {cosine_min:.6f}, "
                f"needed {bar}); do not ship it with this runtime"
            )
    return Verified(bundle_dir.name, len(manifest.files), len(pixels), evidence, cosine_min, how)


def verify_bundles(bundle_dirs: Sequence[Path], as_json: bool) -> None:
    """Check each bundle and print a line for it, or all as one JSON object; the first that fails ends it."""
    verified = []
    for bundle_dir in bundle_dirs:
        verified.append(verify_bundle(bundle_dir))
        if not as_json:
            print(verified[-1].line())
    if as_json:
        print(json.dumps({"bundles": [asdict(one) for one in verified]}))
