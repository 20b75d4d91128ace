"""`manifest.json` of a made dataset: everything that made it, down to the edits and the seed of each query.

A query can be made again from its row: `edited_copy` of its source and its background, at twice `size_px`, by its edits
and a generator of its seed. Names are those in the source; no path of the machine is among them.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import PIL

from icd_mobile.datasets.made.edit_chains import MIXED_SHARES, STRENGTHS
from icd_mobile.datasets.made.photos import PhotoSource
from icd_mobile.datasets.made.plan import BACKGROUND_SHARE, PlannedQuery, SetPlan, Settings
from icd_mobile.files import write_whole

SCHEMA_VERSION = 1  # 1: first. Whatever changes a pixel or a role that a seed gives changes this too.
MANIFEST_NAME = "manifest.json"


def write_manifest(folder: Path, source: PhotoSource, plan: SetPlan, seed: int, settings: Settings) -> None:
    """Write `manifest.json` into a dataset's folder, whole or not at all."""
    manifest = {
        "kind": "icd-mobile dataset",
        "schema_version": SCHEMA_VERSION,
        "seed": seed,
        "settings": asdict(settings) | {"background_share": BACKGROUND_SHARE},
        "tools": {"pillow": PIL.__version__, "numpy": np.__version__},
        "source": {"name": source.name, "num_files": source.num_files, "sha256": source.sha256},
        "num_images": count_roles(plan) | {"skipped": len(source.skipped)},
        "strengths": {name: asdict(strength) for name, strength in STRENGTHS.items()},
        "mixed_shares": MIXED_SHARES,
        "queries": [_query_entry(query) for query in plan.queries],
        "references": {name: photo.name for name, photo in plan.references.items()},
        "training": {name: photo.name for name, photo in plan.training.items()},
        "backgrounds": [photo.name for photo in plan.backgrounds],
        "skipped": [asdict(photo) for photo in source.skipped],
    }
    write_whole(folder / MANIFEST_NAME, json.dumps(manifest, indent=1) + "\n")


def count_roles(plan: SetPlan) -> dict[str, int]:
    """How many images the dataset has of each kind; backgrounds are seen inside queries only."""
    return {
        "queries": len(plan.queries),
        "queries_with_a_match": sum(bool(query.reference_id) for query in plan.queries),
        "references": len(plan.references),
        "references_with_a_query": len({query.reference_id for query in plan.queries} - {""}),
        "training": len(plan.training),
        "backgrounds": len(plan.backgrounds),
    }


def _query_entry(query: PlannedQuery) -> dict[str, object]:
    return {
        "id": query.query_id,
        "reference": query.reference_id or None,
        "source": query.photo.name,
        "background": query.background.name if query.background else None,
        "strength": query.strength,
        "edits": query.edits,
        "seed": query.seed,
    }
