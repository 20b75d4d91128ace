"""Which precision for each student and target, in a sentence that says why where it is not int8."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bench.records.record import PASSES, Record
from bench.report.precisions import choose_precisions
from bench.report.report import render_markdown
from icd_mobile.retrieval.result import CalibrationOverlap

NewRecord = Callable[..., Record]


def of(new_record: NewRecord, precision: str, p50_ms: float, micro_ap: float, **info: object) -> Record:
    facts: dict[str, object] = {"name": f"tiny-onnx-{precision}", "precision": precision}
    return new_record(p50_ms, micro_ap, info=facts | info)


def sentence(records: list[Record]) -> str:
    (choice,) = choose_precisions(records)
    return choice.sentence


def test_int8_is_chosen_where_it_is_the_fastest_within_the_margin(new_record: NewRecord) -> None:
    """The baseline's micro-AP is 0.8."""
    records = [of(new_record, "fp32", 10.0, 0.8), of(new_record, "int8", 6.0, 0.796)]
    assert sentence(records) == "tiny on onnx: int8, p50 6.0 ms, micro-AP 0.796 against 0.800."
    (choice,) = choose_precisions(records)
    assert (choice.student, choice.target, choice.precision) == ("tiny", "onnx", "int8")


@pytest.mark.parametrize(
    ("p50_ms", "micro_ap", "why"),
    [
        (30.0, 0.799, "it is slower (p50 30.0 ms, 3.00 times the time), at micro-AP 0.799"),
        (5.0, 0.779, "it loses 0.021 (micro-AP 0.779), though faster (p50 5.0 ms, 0.50 times the time)"),
        (15.0, 0.7, "it loses 0.100 (micro-AP 0.700) and is slower (p50 15.0 ms, 1.50 times the time)"),
    ],
)
def test_where_int8_is_not_chosen_the_sentence_says_why(
    new_record: NewRecord, p50_ms: float, micro_ap: float, why: str
) -> None:
    records = [of(new_record, "fp32", 10.0, 0.8), of(new_record, "int8", p50_ms, micro_ap)]
    assert sentence(records) == f"tiny on onnx: fp32, p50 10.0 ms, micro-AP 0.800 against 0.800; not int8: {why}."


def test_int8_that_was_never_made_or_is_not_in_order_is_said_to_be_so(new_record: NewRecord) -> None:
    fp32 = of(new_record, "fp32", 10.0, 0.8)
    assert sentence([fp32]).endswith("; not int8: none was measured.")
    below = of(new_record, "int8", 6.0, 0.8, state="exported but failed its check")
    assert sentence([fp32, below]).endswith("; not int8: it is below its parity bar.")
    failed = new_record(
        info={"precision": "int8"},
        failure="it crashed",
        not_measured=dict.fromkeys(PASSES, "the run failed"),
        **dict.fromkeys(PASSES),
    )
    assert sentence([fp32, failed]).endswith("; not int8: it failed (it crashed).")


def test_each_student_and_target_has_its_own_choice_and_what_is_compared_with_has_none(new_record: NewRecord) -> None:
    records = [
        of(new_record, "fp32", 10.0, 0.8),
        of(new_record, "int8", 6.0, 0.8, target="tflite"),
        of(new_record, "fp32", 4.0, 0.8, student="small"),
        of(new_record, "fp32", 30.0, 0.8, target="pytorch"),
    ]
    chosen = [(one.student, one.target, one.precision) for one in choose_precisions(records)]
    assert chosen == [("tiny", "onnx", "fp32"), ("tiny", "tflite", "int8"), ("small", "onnx", "fp32")]


def test_none_within_the_margin_names_the_nearest(new_record: NewRecord) -> None:
    records = [of(new_record, "fp16", 10.0, 0.78), of(new_record, "int8", 5.0, 0.7)]
    assert sentence(records) == (
        "tiny on onnx: no precision recommended: none is within 0.005 of the student's micro-AP 0.800, the nearest is "
        "fp16 with 0.780."
    )


def test_what_was_judged_by_a_reference_evaluator_has_no_times_to_choose_by(new_record: NewRecord) -> None:
    why = "Core ML runs on Apple systems only"
    untimed = dict.fromkeys(("load", "latency", "memory"))
    record = new_record(
        info={"target": "coreml", "precision": "fp16"}, **untimed, not_measured=dict.fromkeys(untimed, why)
    )
    assert sentence([record]) == f"tiny on coreml: no precision recommended: fp16 was not timed ({why})."


def test_a_choice_that_was_calibrated_on_the_test_says_so_and_every_report_has_the_sentences(
    new_record: NewRecord,
) -> None:
    record = of(new_record, "int8", 4.0, 0.8)  # 20 samples of 4 ms are 0.08 s where the preset wants 0.1 s
    accuracy = record.accuracy
    assert accuracy is not None
    overlap = (CalibrationOverlap(image="a.jpg", other="r.jpg", how="same bytes"),)
    record = record.model_copy(update={"accuracy": accuracy.model_copy(update={"calibration_overlap": overlap})})
    said = sentence([record])
    assert said.endswith(" (timing flagged and calibrated on images of this test: see the notes).")
    assert f"- {said}" in render_markdown([record])
