"""What of DISC 2021 is in a folder, and how to ask for the rest: its licence must be accepted by a person."""

from __future__ import annotations

from pathlib import Path

from icd_mobile.datasets.disc import DEV_QUERIES, MILLION, PUBLIC_QUERIES, SPLITS, find_truths
from icd_mobile.datasets.disc_tree import DiscImages, image_id, scan_disc
from icd_mobile.datasets.tree_check import NUM_NAMED, Part, TreeCheck, few

PAGE = "https://ai.meta.com/datasets/disc21-downloads/"
PUBLIC_TRUTH_PAGE = "https://github.com/facebookresearch/isc2021 (list_files/public_ground_truth.csv)"


def how_to_ask(folder: Path) -> tuple[str, ...]:
    """Steps, a line each."""
    return (
        f"1. Accept the licence at {PAGE}: only you can, so nothing is downloaded here.",
        "2. Get refs_50k_0.zip to refs_50k_19.zip, dev_queries_50k_0.zip and dev_queries_groundtruth.csv there; for "
        "score normalisation and whitening also train_50k_0.zip to train_50k_19.zip. All together are about 350 GB.",
        f"3. Unpack the archives below {folder}, in any folders, and put dev_queries_groundtruth.csv into {folder}.",
        f"4. For the public 25,000 queries alone, put public_ground_truth.csv there too: {PUBLIC_TRUTH_PAGE}.",
        f"5. Check: python -m bench prepare disc --check {folder}",
    )


def check_disc(folder: Path) -> TreeCheck:
    """Count a tree's images by their names; none of them is opened.

    Raises:
        InputError: an image whose name is no DISC id or comes twice.
    """
    images, truths = scan_disc(folder), find_truths(folder)
    is_dev = not truths or any(SPLITS[path.name] == DEV_QUERIES for path in truths)
    others = range(PUBLIC_QUERIES.stop, DEV_QUERIES.stop)
    return TreeCheck(
        folder,
        (
            _part("references", images["R"], MILLION, True, "refs_50k_0.zip to refs_50k_19.zip"),
            _part("public queries", images["Q"], PUBLIC_QUERIES, True, "dev_queries_50k_0.zip"),
            _part("other queries", images["Q"], others, is_dev, "dev_queries_50k_0.zip"),
            _part("training images", images["T"], MILLION, False, "train_50k_0.zip to train_50k_19.zip"),
            Part("ground truth", 1, len(truths), True, "" if truths else next(iter(SPLITS)), PAGE),
        ),
    )


def _part(name: str, images: DiscImages, among: range, is_needed: bool, archives: str) -> Part:
    missing = images.missing(among)
    named = few([image_id(images.letter, number) for number in missing[:NUM_NAMED]], len(missing))
    return Part(name, len(among), len(among) - len(missing), is_needed, named, f"{archives} of {PAGE}")
