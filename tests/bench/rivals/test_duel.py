"""A head to head of contenders whose vectors are written by hand: figures, differences, turns, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bench.rivals.contender import Absent, Contender, Kind
from bench.rivals.duel import HeadToHead, head_to_head, take_turns
from bench.rivals.show import cells, markdown, notes, picture
from bench.rivals.standing import Judged, Standing, Times, standings
from icd_mobile.datasets.read import read_dataset
from icd_mobile.errors import GateError, OutsideError
from icd_mobile.retrieval.micro_ap import Detection


class Fake:
    """Describes by a function of the picture, and writes its name into a shared log whenever it does."""

    def __init__(self, name: str, describe: Callable[[Image.Image], NDArray[np.float32]], log: list[str]) -> None:
        self._name, self._describe, self._log = name, describe, log
        self._picture = Image.new("RGB", (1, 1))

    def feed(self, picture: Image.Image) -> None:
        self._picture = picture

    def invoke(self) -> None:
        self._log.append(self._name)

    def read(self) -> NDArray[np.float32]:
        return self._describe(self._picture)


def contender(
    name: str,
    describe: Callable[[Image.Image], NDArray[np.float32]],
    kind: Kind = "student",
    log: list[str] | None = None,
    not_timed: str = "",
) -> Contender:
    describer = Fake(name, describe, [] if log is None else log)
    return Contender(name, kind, kind, "fp32", 8, 16, 1_500_000, "a fake", describer, not_timed=not_timed)


def small(image: Image.Image) -> NDArray[np.float32]:
    """The picture at 8 x 8, centred: it finds the fixture's copies, which are only brighter."""
    values = np.asarray(image.resize((8, 8)), dtype=np.float32).reshape(-1)
    values = values - values.mean()
    unit: NDArray[np.float32] = (values / np.linalg.norm(values)).astype(np.float32)
    return unit


def constant(_image: Image.Image) -> NDArray[np.float32]:
    return np.array([1.0, 0.0], np.float32)


def quiet(_step: str, _done: int, _total: int) -> None:
    """Shows nothing."""


def test_a_good_one_a_blind_one_and_an_absent_one(dataset_dir: Path) -> None:
    field = [
        contender("blind", constant, "hash"),
        Absent("gone", "rival", "not on this computer; pip install gone brings it"),
        contender("good", small),
    ]
    found = head_to_head(field, read_dataset(dataset_dir), 3, quiet)
    good, blind, gone = found.rows
    assert (good.name, good.micro_ap, good.recall_at_p90, good.behind_best) == ("good", 1.0, 1.0, None)
    # All 5 queries x 6 references tie, and negatives come first in a tie: match j of 4 has rank 26 + j.
    ties_last = (1 / 27 + 2 / 28 + 3 / 29 + 4 / 30) / 4
    assert blind.micro_ap == pytest.approx(ties_last)
    assert blind.behind_best is not None
    assert blind.behind_best[0] == pytest.approx(1 - ties_last)
    assert blind.behind_best[1] <= blind.behind_best[0] <= blind.behind_best[2]
    assert (gone.micro_ap, gone.p50_ms, gone.evidence) == (None, None, "not measured")
    assert (found.num_queries, found.num_references, found.num_pairs, found.num_threads) == (5, 6, 4, 1)


def judged(name: str, micro_ap: float, resampled: list[float], kind: Kind, wall_ns: tuple[int, ...]) -> Judged:
    times = Times(wall_ns, tuple(wall // 2 for wall in wall_ns))
    return Judged(contender(name, constant, kind), Detection(micro_ap, 0.5, None), np.array(resampled), times)


def test_statistics_by_hand() -> None:
    rows = standings(
        [
            judged("first", 0.5, [0.5, 0.5, 0.5], "student", (2_000_000, 4_000_000, 8_000_000)),
            judged("best", 0.7, [0.6, 0.7, 0.8], "rival", (1_000_000, 1_000_000, 8_000_000)),
            judged("teacher", 0.9, [0.9, 0.9, 0.9], "teacher", (20_000_000, 20_000_000, 20_000_000)),
        ],
        [],
    )
    teacher, best, first = rows  # by micro-AP
    assert (teacher.name, best.name, first.name) == ("teacher", "best", "first")
    assert best.behind_best is None  # of those that are no teacher it is the best
    # Draw by draw 0.1, 0.2, 0.3; numpy's percentiles 2.5 and 97.5 of three lie 0.05 and 1.95 steps along.
    assert first.behind_best == pytest.approx((0.2, 0.105, 0.295))
    assert teacher.behind_best == pytest.approx((-0.2, -0.295, -0.105))
    assert (best.micro_ap_low, best.micro_ap_high) == pytest.approx((0.605, 0.795))
    assert (first.p50_ms, best.p50_ms, teacher.p50_ms) == (4.0, 1.0, 20.0)  # nearest rank: the second of three
    assert first.processor_p50_ms == 2.0
    assert (first.of_first, best.of_first, teacher.of_first) == (1.0, 0.5, 5.0)  # medians of 1/2, 1/4, 1; of 10, 5, 2.5


def test_equals_stay_in_the_order_in_which_they_were_given() -> None:
    given = [judged(name, 0.5, [0.5], "student", (1,)) for name in ("b", "a", "c")]
    rows = standings(given, [])
    assert [row.name for row in rows] == ["b", "a", "c"]
    assert [row.behind_best is None for row in rows] == [True, False, False]  # of equals the first is the best


def test_each_describes_the_same_picture_in_turn_and_another_begins_each_round() -> None:
    log: list[str] = []
    field = [contender("a", constant, log=log), contender("b", constant, log=log), contender("c", constant, log=log)]
    samples = take_turns(field, [Image.new("RGB", (4, 4))], 4, quiet)
    # Twice each: the first of the two is not timed.
    assert "".join(log) == "aabbcc" + "bbccaa" + "ccaabb" + "aabbcc"
    assert [len(own.wall_ns) for own in samples] == [len(own.processor_ns) for own in samples] == [4, 4, 4]


def test_what_cannot_be_timed_here_is_judged_and_says_why(dataset_dir: Path) -> None:
    field = [contender("reference", small, not_timed="it runs elsewhere only"), contender("timed", small)]
    reference, timed = head_to_head(field, read_dataset(dataset_dir), 2, quiet).rows
    assert (reference.p50_ms, reference.of_first, reference.note) == (None, None, "it runs elsewhere only")
    assert timed.of_first == 1.0  # the first that has a time is what times are compared with
    assert "not measured" in cells(reference)


def test_a_picture_that_cannot_be_read_is_left_out_by_name_and_its_pair_counts(own_dataset_dir: Path) -> None:
    (own_dataset_dir / "queries" / "q0.png").write_bytes(b"broken")
    found = head_to_head([contender("good", small)], read_dataset(own_dataset_dir), 2, quiet)
    assert found.rows[0].micro_ap == 0.75  # 3 of 4 pairs, each found before any negative
    assert [line.partition(":")[0] for line in found.skipped] == ["q0.png"]


def test_no_contender_is_one_line_with_what_brings_them(dataset_dir: Path) -> None:
    with pytest.raises(OutsideError, match=r"no contender is here: PDQ: pip install x"):
        head_to_head([Absent("PDQ", "hash", "pip install x")], read_dataset(dataset_dir), 2, quiet)


@pytest.mark.parametrize("vector", [[np.nan, 0.0], [0.0, 0.0]])
def test_a_contender_whose_output_is_broken_is_named(dataset_dir: Path, vector: list[float]) -> None:
    broken = contender("broken", lambda _image: np.array(vector, np.float32))
    with pytest.raises(GateError, match=r"broken gives no unit vector for q0\.png"):
        head_to_head([broken], read_dataset(dataset_dir), 2, quiet)


def test_a_busy_machine_is_named() -> None:
    def lines(processor_ms: float) -> list[str]:
        row = Standing("slow", "hash", "hash", "", None, "measured", p50_ms=1.2, processor_p50_ms=processor_ms)
        found = HeadToHead("tiny", "0" * 64, 5, 6, 4, 3, (), (row,))
        return [line for line in notes(found) if "busy" in line]

    assert lines(processor_ms=1.15) == []
    assert len(lines(processor_ms=1.0)) == 1


def test_the_table_and_the_picture_show_every_row(dataset_dir: Path) -> None:
    field = [contender("good", small), contender("<blind>", constant, "hash"), Absent("gone", "rival", "pip install x")]
    found = head_to_head(field, read_dataset(dataset_dir), 2, quiet)
    text = markdown(found)
    assert "| gone | rival |" in text
    assert "gone: pip install x" in text
    drawn = picture(found)
    assert ElementTree.fromstring(drawn).tag == "{http://www.w3.org/2000/svg}svg"  # well-formed, and a file of its own
    assert "&lt;blind&gt; @8" in drawn
    assert "gone" not in drawn
    assert picture(head_to_head([contender("good", small, not_timed="no")], read_dataset(dataset_dir), 2, quiet)) == ""
