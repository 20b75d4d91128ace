"""DISC 2021, the Image Similarity Challenge's own set: a million references, as many training images, 50,000 queries.

Names tell references (R000000.jpg), training images (T000000.jpg) and queries (Q00000.jpg) apart, so they may lie in
any folders below the tree's own. That covers every form in which the set is given out:

    refs_50k_0..19/   train_50k_0..19/  dev_queries_50k_0/  dev_queries_groundtruth.csv         Meta's archives
    reference_images/ training_images/  query_images/       public_ground_truth.csv             the challenge's bucket
    images/references images/train      images/queries      list_files/public_ground_truth.csv  its starter code
    val_ref/          training/         val_query/          val_groundtruth_matches.csv         SSCD's evaluator

A ground-truth file stands for a split: the public 25,000 queries, or the 50,000 of the development set, whose first
half they are. Queries outside the split are not judged.

Source: Douze et al., "The 2021 Image Similarity Dataset and Challenge", 2021, and its starter code (facebookresearch/
isc2021); the loader of facebookresearch/sscd-copy-detection.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from icd_mobile.arrays import Ints
from icd_mobile.datasets.dataset import Dataset
from icd_mobile.datasets.disc_tree import DiscImages, Numbers, image_id, image_number, scan_disc
from icd_mobile.datasets.ground_truth import GroundTruth, read_ground_truth
from icd_mobile.datasets.tree_check import few
from icd_mobile.errors import InputError

MILLION = range(1_000_000)
PUBLIC_QUERIES, DEV_QUERIES = range(25_000), range(50_000)
SPLITS = {
    "dev_queries_groundtruth.csv": DEV_QUERIES,
    "val_groundtruth_matches.csv": DEV_QUERIES,
    "public_ground_truth.csv": PUBLIC_QUERIES,
}
_BELOW = "list_files"  # where the starter code keeps its ground truth


def find_truths(folder: Path) -> list[Path]:
    """The ground-truth files of a tree, one for each split."""
    return [path for name in SPLITS for path in (folder / name, folder / _BELOW / name) if path.is_file()]


def tree_of(truth_path: Path) -> Path:
    """The tree that a ground-truth file lies in."""
    return truth_path.parent.parent if truth_path.parent.name == _BELOW else truth_path.parent


def read_disc(truth_path: Path) -> Dataset:
    """The split of DISC that a ground-truth file of a tree stands for. Without all references it is named "partial".

    Its identity (`sha256`) is over ids, sizes and pairs: 350 GB of pixels are not read at every run. The ids are the
    set's own, so that a part of it differs from the whole; images encoded anew differ in size; and unlike times, all
    three are the same on every computer.

    Raises:
        InputError: an image whose name is no DISC id or comes twice, a broken ground truth, one that names an id of
            another split or an image that is not there, or a query that it should name and does not.
    """
    if truth_path.name not in SPLITS:
        raise InputError(f"{truth_path} is no ground truth of DISC; known are {', '.join(SPLITS)}")
    folder, truth = tree_of(truth_path), read_ground_truth(truth_path)
    images = scan_disc(folder)
    pairs = _pairs(truth, images)
    queries, references = images["Q"].there(SPLITS[truth_path.name]), images["R"].there(MILLION)
    training = images["T"].there(MILLION)
    _check_named(truth, queries)
    return Dataset(
        name=f"{folder.absolute().name}/{truth_path.name}" + ("" if len(references) == len(MILLION) else ", partial"),
        folder=folder,
        queries=images["Q"].paths(queries),
        references=images["R"].paths(references),
        training=images["T"].paths(training),
        pairs=np.stack([np.searchsorted(queries, pairs[:, 0]), np.searchsorted(references, pairs[:, 1])], axis=1),
        edits={},
        sha256=_identity(images, {"Q": queries, "R": references, "T": training}, pairs),
    )


def _pairs(truth: GroundTruth, images: dict[str, DiscImages]) -> Ints:
    """(P, 2) numbers of query and reference, each checked."""
    references = tuple(dict.fromkeys(reference for _, reference in truth.pairs))
    for letter, among, names in (("Q", SPLITS[truth.path.name], truth.query_ids), ("R", MILLION, references)):
        absent = []
        for name in names:
            number = image_number(letter, name)
            if number not in among:
                row = next((row for pair, row in truth.pairs.items() if name in pair), None)
                raise InputError(
                    f"{truth.path}{'' if row is None else f' row {row}'}: '{name}' is not one of "
                    f"{image_id(letter, among[0])}..{image_id(letter, among[-1])}; get the whole file anew"
                )
            if images[letter].sizes[number] < 0:
                absent.append(name)
        if absent:
            raise InputError(
                f"{tree_of(truth.path)} lacks {len(absent):,} of the images that {truth.path} names: {few(absent)}; "
                f"see what else is missing: python -m bench prepare disc --check {tree_of(truth.path)}"
            )
    return np.array([[int(name[1:]) for name in pair] for pair in truth.pairs], dtype=np.int64)


def _check_named(truth: GroundTruth, queries: Numbers) -> None:
    if truth.names_every_query:
        unnamed = np.setdiff1d(queries, [int(name[1:]) for name in truth.query_ids])
        if len(unnamed):
            names = [image_id("Q", number) for number in unnamed]
            raise InputError(f"{truth.path} does not name {few(names)}; get the whole file")


def _identity(images: dict[str, DiscImages], judged: dict[str, Numbers], pairs: Ints) -> str:
    digest = hashlib.sha256(b"DISC by ids, sizes and pairs\n")
    for letter, numbers in judged.items():
        digest.update(f"{letter}{len(numbers)}\n".encode())
        digest.update(numbers.astype("<i4").tobytes())
        digest.update(images[letter].sizes[numbers].astype("<i8").tobytes())
    digest.update(pairs[np.lexsort(pairs.T)].astype("<i8").tobytes())
    return digest.hexdigest()
