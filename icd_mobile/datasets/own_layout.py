"""Our own layout of a dataset:

    references/*.png|jpg|...   queries/*.png|jpg|...   ground_truth.csv   [training/*.png|jpg|...]

`ground_truth.csv` is read as `datasets.ground_truth` says; an id is a file name without its suffix. `training/` holds
pictures that are never judged: what score normalisation and whitening are fitted on. `edits.csv` (`query_id,edits`),
where there is one, says how each query was made.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from icd_mobile.arrays import Ints
from icd_mobile.datasets.csv_files import read_csv
from icd_mobile.datasets.dataset import Dataset, content_sha256
from icd_mobile.datasets.ground_truth import read_ground_truth
from icd_mobile.datasets.tree_check import Part, TreeCheck
from icd_mobile.errors import InputError
from icd_mobile.pictures.preprocessing import list_images

GROUND_TRUTH_NAME, EDITS_NAME = "ground_truth.csv", "edits.csv"


def read_own_layout(folder: Path) -> Dataset:
    """Read a folder as above.

    Raises:
        InputError: a part is missing or empty, two files share an id, a CSV is broken, or the ground truth names an
            unknown id or a pair twice. The file and, where there is one, the row are named.
    """
    for part in ("references", "queries", GROUND_TRUTH_NAME):
        if not (folder / part).exists():
            raise InputError(
                f"{folder} has no {part}; a dataset is references/, queries/ and {GROUND_TRUTH_NAME}, "
                "or a tree of DISC or Copydays: python -m bench prepare --help"
            )
    queries, references = _images_by_id(folder / "queries"), _images_by_id(folder / "references")
    training = _images_by_id(folder / "training") if (folder / "training").exists() else {}
    query_index = {name: index for index, name in enumerate(queries)}
    reference_index = {name: index for index, name in enumerate(references)}
    pairs = _read_pairs(folder / GROUND_TRUTH_NAME, query_index, reference_index)
    return Dataset(
        name=folder.absolute().name,
        folder=folder,
        queries=tuple(queries.values()),
        references=tuple(references.values()),
        training=tuple(training.values()),
        pairs=pairs,
        edits=_read_edits(folder / EDITS_NAME),
        sha256=content_sha256(
            folder, [folder / GROUND_TRUTH_NAME, *queries.values(), *references.values(), *training.values()]
        ),
    )


def _images_by_id(folder: Path) -> dict[str, Path]:
    images: dict[str, Path] = {}
    for path in list_images(folder):
        if path.stem in images:
            raise InputError(f"{path} and {images[path.stem].name} share the id '{path.stem}'; rename one")
        images[path.stem] = path
    if not images:
        raise InputError(f"no images in {folder}; put PNG or JPEG files there")
    return images


def _read_pairs(path: Path, queries: dict[str, int], references: dict[str, int]) -> Ints:
    truth = read_ground_truth(path)
    for query, row in truth.query_rows.items():
        if query not in queries:
            raise InputError(f"{path} row {row}: no query '{query}' in queries/; add its image, or remove the row")
    for (_, reference), row in truth.pairs.items():
        if reference not in references:
            raise InputError(f"{path} row {row}: no reference '{reference}' in references/; add its image")
    unnamed = sorted(queries.keys() - truth.query_rows.keys())
    if truth.names_every_query and unnamed:
        raise InputError(
            f"{path} names queries without a match, but not '{unnamed[0]}' of queries/, nor {len(unnamed) - 1} others; "
            "add its row"
        )
    return np.array([(queries[query], references[reference]) for query, reference in truth.pairs], dtype=np.int64)


def _read_edits(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    return {row["query_id"]: row["edits"] for row in read_csv(path, ("query_id", "edits"))}


def check_own_layout(folder: Path) -> TreeCheck:
    """Count a folder of references/, queries/ and ground_truth.csv, such as the sample.

    Raises:
        InputError: it is not a dataset; says why.
    """
    dataset = read_own_layout(folder)
    counts = {
        "references": len(dataset.references),
        "queries": len(dataset.queries),
        "training images": len(dataset.training),
        "matching pairs": len(dataset.pairs),
    }
    return TreeCheck(folder, tuple(Part(name, 0, count, True, "") for name, count in counts.items()))
