"""The figures that Copydays is reported by.

Every block is judged by itself, as mean average precision by the trapezoid rule; that of `strong` is the headline. All
blocks together give a micro-AP, which SSCD's evaluator takes with the originals as queries too, each of which finds
itself: both are given, and by their names.

Source: Douze et al., "Evaluation of GIST descriptors for web-scale image search", 2009; the evaluator of
facebookresearch/sscd-copy-detection for the pooled figures and k.
"""

from __future__ import annotations

import numpy as np

from icd_mobile.arrays import Bools, Descriptors, Ints
from icd_mobile.datasets.copydays import ORIGINAL
from icd_mobile.datasets.dataset import Dataset
from icd_mobile.retrieval.mean_ap import mean_average_precision
from icd_mobile.retrieval.micro_ap import Candidates, detection, matches
from icd_mobile.retrieval.result import CopydaysAccuracy
from icd_mobile.retrieval.search import nearest

CANDIDATES_PER_QUERY = 100


def judge_copydays(descriptors: Descriptors, dataset: Dataset, unreadable: tuple[int, ...]) -> CopydaysAccuracy:
    """Figures of each block and of all together; `descriptors` is (Q + R, D), those of unreadable images unused.

    A pair whose copy or original could not be read counts as not found.

    Raises:
        InputError: descriptors that are not finite or not of unit length.
    """
    num_queries = len(dataset.queries)
    num_originals = sum(path.parent == dataset.folder / ORIGINAL for path in dataset.references)
    readable = np.setdiff1d(np.arange(num_queries + len(dataset.references)), unreadable)
    rows = readable[readable < num_queries + num_originals]  # the copies, and the originals as queries
    references = readable[readable >= num_queries]
    found = nearest(descriptors[rows], descriptors[references], CANDIDATES_PER_QUERY)
    candidates = Candidates(rows[found.queries], references[found.references] - num_queries, found.scores)
    themselves = np.stack([num_queries + np.arange(num_originals), np.arange(num_originals)], axis=1)
    return _figures(candidates, dataset, np.concatenate([dataset.pairs, themselves]))


def _figures(candidates: Candidates, dataset: Dataset, pairs: Ints) -> CopydaysAccuracy:
    """From candidates of the copies and of the originals, which are numbered on after them."""
    is_match = matches(candidates, pairs)
    block_of = np.array([*dataset.blocks, *[ORIGINAL] * (len(pairs) - len(dataset.pairs))])
    mean_ap = {}
    for block in dict.fromkeys(dataset.blocks):
        kept, wanted = block_of[candidates.queries] == block, block_of[pairs[:, 0]] == block
        mean_ap[block] = mean_average_precision(_of(candidates, kept), is_match[kept], pairs[wanted])
    copies = block_of[candidates.queries] != ORIGINAL
    one_query = Candidates(np.zeros_like(candidates.queries), candidates.references, candidates.scores)
    return CopydaysAccuracy(
        k=CANDIDATES_PER_QUERY,
        mean_ap=mean_ap,
        micro_ap_copies=detection(candidates.scores[copies], is_match[copies], len(dataset.pairs)).micro_ap,
        micro_ap_with_originals=detection(candidates.scores, is_match, len(pairs)).micro_ap,
        micro_ap_sscd=mean_average_precision(one_query, is_match, np.zeros_like(pairs)),
    )


def _of(candidates: Candidates, kept: Bools) -> Candidates:
    return Candidates(candidates.queries[kept], candidates.references[kept], candidates.scores[kept])
