"""A head to head: every contender describes every picture, then they take turns against the clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

import numpy as np
from PIL import Image

from bench.rivals.contender import Absent, Contender
from bench.rivals.standing import Judged, Standing, Times, standings
from icd_mobile.arrays import Descriptors
from icd_mobile.datasets.dataset import Dataset
from icd_mobile.errors import GateError, OutsideError
from icd_mobile.pictures.preprocessing import UnreadableImageError, read_rgb
from icd_mobile.retrieval.accuracy import search, split
from icd_mobile.retrieval.micro_ap import detection, resampled_micro_ap
from icd_mobile.retrieval.search import UNIT_TOLERANCE

NUM_TIMED_PICTURES = 64  # decoded pictures that are held for the rounds, which go through them again and again
OnStep = Callable[[str, int, int], None]  # the step's name, how many are done, of how many


@dataclass(frozen=True)
class HeadToHead:
    """The rows, and what they are of."""

    dataset: str
    dataset_sha256: str
    num_queries: int
    num_references: int
    num_pairs: int
    num_rounds: int
    skipped: tuple[str, ...]  # the images that could not be read, each with its reason
    rows: tuple[Standing, ...]
    num_threads: int = 1
    schema_version: int = 1


def head_to_head(field: Sequence[Contender | Absent], dataset: Dataset, num_rounds: int, on_step: OnStep) -> HeadToHead:
    """Judge all that are here by one search, and time them in turns.

    Raises:
        OutsideError: none is here.
        GateError: a contender whose vectors are not finite.
        InputError: no readable query, or reference.
    """
    here = [one for one in field if isinstance(one, Contender)]
    absent = [one for one in field if isinstance(one, Absent)]
    if not here:
        raise OutsideError(f"no contender is here: {'; '.join(f'{one.name}: {one.reason}' for one in absent)}")
    described, unreadable = _describe(here, dataset, on_step)
    times = take_turns(here, _timed_pictures(dataset, unreadable), num_rounds, on_step)
    judged = [_judge(*one, dataset, tuple(unreadable)) for one in zip(here, described, times, strict=True)]
    return HeadToHead(
        dataset=dataset.name,
        dataset_sha256=dataset.sha256,
        num_queries=len(dataset.queries),
        num_references=len(dataset.references),
        num_pairs=len(dataset.pairs),
        num_rounds=num_rounds,
        skipped=tuple(f"{dataset.images[row].name}: {reason}" for row, reason in unreadable.items()),
        rows=standings(judged, absent),
    )


def _describe(here: Sequence[Contender], dataset: Dataset, on_step: OnStep) -> tuple[list[Descriptors], dict[int, str]]:
    """(Q + R, D) of each, and the rows that could not be read, which hold zeros; a picture is decoded once for all."""
    num_images = len(dataset.queries) + len(dataset.references)
    described: list[Descriptors] = []
    unreadable: dict[int, str] = {}
    for row in range(num_images):
        try:
            picture = read_rgb(dataset.images[row])
        except UnreadableImageError as error:
            unreadable[row] = str(error)
            continue
        vectors = [_vector(one, picture, dataset.images[row].name) for one in here]
        if not described:
            described = [np.zeros((num_images, len(vector)), np.float32) for vector in vectors]
        for rows, vector in zip(described, vectors, strict=True):
            rows[row] = vector
        on_step("described", row + 1, num_images)
    split(dataset, tuple(unreadable))  # refuses where a side has no readable image
    return described, unreadable


def _vector(one: Contender, picture: Image.Image, image: str) -> Descriptors:
    one.describer.feed(picture)
    one.describer.invoke()
    vector = one.describer.read()
    if not abs(float(np.linalg.norm(vector)) - 1) <= UNIT_TOLERANCE:
        raise GateError(f"{one.name} gives no unit vector for {image}; its output is broken")
    return vector


def _timed_pictures(dataset: Dataset, unreadable: dict[int, str]) -> list[Image.Image]:
    readable = (row for row in range(len(dataset.queries)) if row not in unreadable)
    return [read_rgb(dataset.images[row]) for row in islice(readable, NUM_TIMED_PICTURES)]


def take_turns(
    here: Sequence[Contender], pictures: Sequence[Image.Image], num_rounds: int, on_step: OnStep
) -> list[Times]:
    """The times of each, round by round: in a round each describes the same picture, another begins than before.

    A call that is not timed goes before each that is, so that the caches hold this contender and not the one before.
    """
    wall_ns: list[list[int]] = [[] for _ in here]
    processor_ns: list[list[int]] = [[] for _ in here]
    for done, picture in enumerate(islice(cycle(pictures), num_rounds)):
        for index in _order(len(here), done):
            if here[index].not_timed:
                continue
            describer = here[index].describer
            describer.feed(picture)
            describer.invoke()
            began_ns, began_processor_ns = time.perf_counter_ns(), time.process_time_ns()
            describer.invoke()
            wall_ns[index].append(time.perf_counter_ns() - began_ns)
            processor_ns[index].append(time.process_time_ns() - began_processor_ns)
        on_step("timed", done + 1, num_rounds)
    return [Times(tuple(wall), tuple(own)) for wall, own in zip(wall_ns, processor_ns, strict=True)]


def _order(count: int, done: int) -> Iterator[int]:
    return ((done + index) % count for index in range(count))


def _judge(
    contender: Contender,
    descriptors: Descriptors,
    times: Times,
    dataset: Dataset,
    unreadable: tuple[int, ...],
) -> Judged:
    rows = split(dataset, unreadable)
    candidates, is_match = search(descriptors[rows.queries], descriptors, rows, dataset)
    found = detection(candidates.scores, is_match, len(dataset.pairs))
    resampled = resampled_micro_ap(candidates, is_match, dataset.pairs, len(dataset.queries))
    return Judged(contender, found, resampled, times)
