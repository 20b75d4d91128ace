"""Roles and queries: counts by hand, and no photograph where it would be a match that is not listed."""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace
from pathlib import Path

import pytest

from icd_mobile.datasets.made.photos import Photo
from icd_mobile.datasets.made.plan import SetPlan, Settings, make_plan
from icd_mobile.errors import InputError


def photos(num: int) -> list[Photo]:
    return [Photo(f"p{i}.jpg", Path(f"p{i}.jpg"), hashlib.sha256(str(i).encode()).hexdigest()) for i in range(num)]


def sources(plan: SetPlan, matched: bool) -> set[Photo]:
    return {query.photo for query in plan.queries if bool(query.reference_id) == matched}


def test_counts_are_those_worked_by_hand() -> None:
    # 30 photographs: 0.3 -> 9 training, 0.1 -> 3 backgrounds, 18 judged; half as many queries, 9; 0.4 x 9 = 3.6 -> 4
    # without a match; the references are the judged photographs but for those 4.
    plan = make_plan(photos(30), 0, Settings())
    assert (len(plan.training), len(plan.backgrounds), len(plan.queries)) == (9, 3, 9)
    assert (len(sources(plan, matched=True)), len(sources(plan, matched=False))) == (5, 4)
    assert len(plan.references) == 14


@pytest.mark.parametrize("settings", [Settings(), Settings(num_queries=200), Settings("hard", unmatched_share=0.9)])
@pytest.mark.parametrize("seed", range(3))
def test_every_photograph_has_one_role(settings: Settings, seed: int) -> None:
    plan = make_plan(photos(60), seed, settings)
    references, training = set(plan.references.values()), set(plan.training.values())
    roles = (references, training, set(plan.backgrounds), sources(plan, matched=False))
    assert sum(map(len, roles)) == len(set().union(*roles)) == 60
    assert sources(plan, matched=True) <= references


def test_a_query_names_the_reference_of_its_own_photograph_and_a_background_only_where_it_shows() -> None:
    plan = make_plan(photos(60), 0, Settings(num_queries=100))
    assert [query.query_id for query in plan.queries[:2]] == ["Q00000", "Q00001"]
    for query in plan.queries:
        assert not query.reference_id or plan.references[query.reference_id] == query.photo
        assert (query.background in plan.backgrounds) == bool(
            {"overlay", "sticker", "collage"}.intersection(query.edits)
        )
    assert len({query.seed for query in plan.queries}) == 100


def test_the_number_of_a_query_does_not_tell_whether_it_has_a_match() -> None:
    has_match = [bool(query.reference_id) for query in make_plan(photos(200), 0, Settings()).queries]
    # 120 judged, 60 queries, 24 without a match: in random order each half of the numbers has about 12 of them.
    halves = has_match[:30].count(False), has_match[30:].count(False)
    assert sum(halves) == 24
    assert min(halves) >= 6


def test_more_queries_than_photographs_take_turns() -> None:
    # 10 photographs: 3 training, 1 background, 6 judged; 0.4 x 6 -> 2 without a match, so 4 with. 100 queries: 60 of
    # the 4, 15 each, and 40 of the 2, 20 each.
    plan = make_plan(photos(10), 0, Settings(num_queries=100))
    of_photo = {photo: [query for query in plan.queries if query.photo == photo] for photo in photos(10)}
    assert sorted(len(queries) for queries in of_photo.values()) == [0] * 4 + [15] * 4 + [20] * 2


def test_roles_depend_on_the_seed_and_on_bytes_but_not_on_order_or_names() -> None:
    given = photos(40)
    renamed = [replace(photo, name=f"x/{photo.name}") for photo in given]
    random.Random(0).shuffle(renamed)
    first, again, other = (make_plan(some, seed, Settings()) for some, seed in ((given, 0), (renamed, 0), (given, 1)))
    hashes = [[(name, photo.sha256) for name, photo in plan.references.items()] for plan in (first, again, other)]
    assert hashes[0] == hashes[1] != hashes[2]
    edits = [[(query.photo.sha256, query.edits) for query in plan.queries] for plan in (first, again, other)]
    assert edits[0] == edits[1] != edits[2]


@pytest.mark.parametrize(
    ("settings", "needed"),
    [
        (Settings(), 7),  # 2 training, 1 background, 4 judged: 2 queries, of which round(0.8) = 1 without a match
        (Settings(unmatched_share=0, training_share=0), 3),  # a background, and two judged for one query
        (Settings(num_queries=2, training_share=0), 3),
    ],
)
def test_too_few_photographs_are_refused_with_how_many_are_needed(settings: Settings, needed: int) -> None:
    assert make_plan(photos(needed), 0, settings).queries
    with pytest.raises(InputError, match=f"needs at least {needed} usable images, got {needed - 1}"):
        make_plan(photos(needed - 1), 0, settings)


def test_without_a_training_share_there_is_no_training() -> None:
    assert make_plan(photos(30), 0, Settings(training_share=0)).training == {}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Settings("hrad"), "unknown strength 'hrad'.*did you mean 'hard'"),
        (Settings(training_share=1.5), r"--training-share needs 0\.\.0\.8, got 1\.5"),
        (Settings(training_share=float("nan")), "got nan"),
        (Settings(unmatched_share=-0.1), r"--unmatched-share needs 0\.\.0\.9, got -0\.1"),
        (Settings(num_queries=0), "--num-queries 0 .* leaves no query with a match"),
        (Settings(num_queries=1), "leaves no query with a match"),
        (Settings(size_px=8), r"--size needs 64\.\.4096 px, got 8"),
    ],
)
def test_a_setting_out_of_range_is_refused(settings: Settings, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_plan(photos(100), 0, settings)
