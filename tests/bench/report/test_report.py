"""The report: rows, recommendation, and the three forms."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import pytest

from bench.records.compatibility import Cell, Compatibility, Member, write_compatibility
from bench.records.examples import read_examples, write_examples
from bench.records.record import EDITS, PASSES, Record
from bench.records.record_files import write_record
from bench.records.rows import make_row, make_rows
from bench.records.setting import common_setting
from bench.report.axes import Axis, time_axis
from bench.report.details import compatibility_table, structure_table
from bench.report.heatmap import micro_ap_heatmap
from bench.report.page import render_page
from bench.report.recommend import recommend
from bench.report.report import render_csv, render_markdown, write_reports
from bench.report.table import COLUMNS, columns_of
from bench.report.words import describe_worst
from export.bundle.manifest import StructureCheck
from icd_mobile.datasets.read import read_dataset
from icd_mobile.errors import InputError

NewRecord = Callable[..., Record]
NOTHING = dict.fromkeys(PASSES)


def unmeasured(new_record: NewRecord, reason: str, **changes: object) -> Record:
    return new_record(**NOTHING, not_measured=dict.fromkeys(PASSES, reason), **changes)


def baseline(new_record: NewRecord) -> Record:
    info = {"name": "tiny-pytorch-fp32", "target": "pytorch"}
    accuracy = new_record().accuracy
    assert accuracy is not None
    return new_record(30.0, info=info, accuracy=accuracy.model_copy(update={"baseline": None}))


def some_records(new_record: NewRecord) -> list[Record]:
    return [
        baseline(new_record),
        new_record(8.0, 0.797, info={"name": "tiny-tflite-int8", "target": "tflite", "precision": "int8"}),
        new_record(5.0, 0.70, info={"name": "tiny-onnx-int8", "precision": "int8"}),
        unmeasured(
            new_record, "Core ML runs on Apple systems only", info={"name": "tiny-coreml-fp16", "target": "coreml"}
        ),
    ]


def texts(record: Record) -> dict[str, str]:
    row = make_row(record)
    return {column.title: column.text(row) for column in COLUMNS}


def test_row_computes_statistics_from_raw_values(new_record: NewRecord) -> None:
    row = make_row(new_record(10.0))
    # Samples are 9.98 9.99 10.00 10.01 10.02, four times each; starts load in 30, 50 and 70 ms.
    assert (row.p50_ms, row.p90_ms, row.p99_ms) == (10.0, 10.02, 10.02)
    assert (row.load_ms, row.first_inference_ms, row.feed_ms) == (50.0, 10.0, 0.2)
    assert (row.peak_memory_bytes, row.delta_memory_bytes) == (90_000_000, 40_000_000)


def test_nothing_measured_prints_so_in_every_cell(new_record: NewRecord) -> None:
    cells = texts(unmeasured(new_record, "why", info={"parity_cosine_min": None, "parity_evidence": "not measured"}))
    blank = {"load", "first", "p50", "p90", "p99", "peak memory", "of it the model", "micro-AP", "retention"}
    blank |= {"micro-AP with SN", "of the teacher"}
    blank |= {"recall@P90", "threshold@P90", "parity cosine, min"}
    assert {title for title, text in cells.items() if text == "not measured"} == blank
    assert all(cells.values())


def test_parity_is_rounded_down_and_carries_another_evidence_word(new_record: NewRecord) -> None:
    assert texts(new_record(info={"parity_cosine_min": 0.9998999}))["parity cosine, min"] == "0.999899"
    reference = new_record(info={"parity_cosine_min": 1.0, "parity_evidence": "reference"})
    assert texts(reference)["parity cosine, min"] == "1.000000 (reference)"


def test_threshold_that_was_never_reached_says_so(new_record: NewRecord) -> None:
    accuracy = new_record().accuracy
    assert accuracy is not None
    record = new_record(accuracy=accuracy.model_copy(update={"recall_at_p90": 0.0, "threshold_at_p90": None}))
    assert texts(record)["threshold@P90"] == "never reached"


def test_other_weights_and_a_gpu_are_noted(new_record: NewRecord) -> None:
    record = new_record(info={"weights_sha256": "f" * 64})
    assert "another student" in " ".join(make_row(record).notes)
    assert record.runtime is not None
    on_gpu = new_record(runtime=record.runtime.model_copy(update={"accelerator": "Big GPU"}))
    assert make_row(on_gpu).notes == ("runs on Big GPU",)


def test_recommended_is_the_fastest_within_the_margin(new_record: NewRecord) -> None:
    records = some_records(new_record)
    chosen = recommend(records)
    assert chosen.record is records[1]  # 0.797 of 0.8; the faster int8 has lost 0.1
    assert "p50 8.0 ms on 1 thread" in chosen.sentence


def test_none_is_recommended_below_the_margin_and_the_nearest_is_named(new_record: NewRecord) -> None:
    chosen = recommend([baseline(new_record), new_record(5.0, 0.79), new_record(4.0, 0.7)])
    assert chosen.record is None
    assert "the nearest is onnx fp32 with 0.790" in chosen.sentence


def test_a_flagged_timing_is_recommended_by_its_median_and_said_to_be_flagged(new_record: NewRecord) -> None:
    flagged = new_record(4.0)  # 20 samples of 4 ms are 0.08 s where the preset wants 0.1 s
    chosen = recommend([flagged, new_record(8.0)])
    assert chosen.record is flagged
    assert chosen.sentence.endswith("p50 4.0 ms on 1 thread (timing flagged: see the notes).")


def test_artifact_that_ignores_colour_is_flagged_everywhere_and_not_recommended(new_record: NewRecord) -> None:
    stability = new_record().stability
    assert stability is not None
    blind = new_record(4.0, stability=stability.model_copy(update={"canary_cosines": (1.0, 1.0, 1.0)}))
    records = [blind, new_record(8.0)]
    assert recommend(records).record is records[1]
    assert any(note.startswith("THE CANARY FAILED") for note in make_row(blind).notes)
    for text in (render_markdown(records), render_page(records, None)):
        assert "THE CANARY FAILED: swapping red and blue" in text
        assert text.count("FAILED: ignores colour") == 1


def test_what_a_phone_s_backends_take_has_a_line_each(new_record: NewRecord) -> None:
    facts = {"num_ops": 74, "num_taken": 73, "num_partitions": 2, "left": {"POW": 1}}
    check = StructureCheck(backend="XNNPACK", evidence="measured", source="a tool", **facts)
    lost = StructureCheck(backend="onnx", evidence="not measured", source="gone")
    records = [new_record(info={"structure": (check, lost)}), new_record()]
    assert structure_table(records, make_rows(records, common_setting(records))).rows == (
        ("onnx fp32", "XNNPACK", "measured: a tool", "1 POW", "73 of 74", "2"),
        ("onnx fp32", "onnx", "not measured: gone", *("not measured",) * 3),
        (
            "onnx fp32 (2)",
            "any",
            "not measured: its bundle is older than this check; export it again",
            *("not measured",) * 3,
        ),
    )
    for text in (render_markdown(records), render_page(records, None)):
        assert "Taken by a phone" in text
    only_baseline = [baseline(new_record)]
    assert "Taken by a phone" not in render_markdown(only_baseline) + render_page(only_baseline, None)


def test_row_from_another_computer_or_dataset_says_so_and_is_not_recommended(new_record: NewRecord) -> None:
    newest = new_record(10.0, created_utc="2025-01-03T00:00:00Z")
    accuracy = newest.accuracy
    assert accuracy is not None
    records = [
        new_record(6.0, device=replace(newest.device, cpu="Other CPU")),
        new_record(7.0, accuracy=accuracy.model_copy(update={"dataset": "mine", "dataset_sha256": "e" * 64})),
        newest,
    ]
    setting = common_setting(records)
    moved, rejudged, plain = ("; ".join(row.notes) for row in make_rows(records, setting))
    assert "another device than the one named above (cpu Other CPU)" in moved
    assert "judged on mine (eeeeeeee), the newest run on sample-v1 (dddddddd)" in rejudged
    assert "another" not in plain
    assert recommend(setting.alike(records)).record is newest
    for text in (render_markdown(records), render_page(records, None)):
        assert "cpu Other CPU" in text
        assert "judged on mine" in text


def test_rows_of_one_target_and_precision_are_told_apart(new_record: NewRecord) -> None:
    records = [new_record(), new_record(info={"student": "other", "model_sha256": "2" * 64}), new_record(num_threads=4)]
    rows = make_rows(records, common_setting(records))
    assert [row.label for row in rows] == ["onnx fp32", "onnx fp32 (2)", "onnx fp32 (3)"]
    assert "of other (22222222), 1 thread" in rows[1].notes[-1]
    assert "4 threads" in rows[2].notes[-1]


@pytest.mark.parametrize(
    "changes",
    [
        {"failure": "crashed"},
        {"info": {"state": "exported but failed its check"}},
        {"info": {"weights_sha256": "f" * 64}},
        {"info": {"target": "pytorch"}},
        {"info": {"target": "teacher"}},
    ],
)
def test_artifact_that_is_not_in_order_is_never_recommended(new_record: NewRecord, changes: dict[str, object]) -> None:
    assert recommend([new_record(**changes)]).record is None


def test_reports_are_written_for_each_device(new_record: NewRecord, tmp_path: Path) -> None:
    teacher = new_record(40.0, info={"name": "big-teacher-fp32", "target": "teacher", "weights_sha256": "f" * 64})
    for record in [*some_records(new_record), teacher]:
        write_record(record, tmp_path / "records")
    (report,) = write_reports(tmp_path / "records", tmp_path / "out")
    assert report.device == "host"
    assert all(path.is_file() for path in (report.html_path, report.markdown_path, report.csv_path))
    # The baseline, the teacher, then by p50, then what was not timed.
    rows = list(csv.DictReader(StringIO(report.csv_path.read_text())))
    assert [row["target"] for row in rows] == ["pytorch", "teacher", "onnx", "tflite", "coreml"]


def test_csv_is_unrounded_and_never_blank(new_record: NewRecord) -> None:
    text = render_csv([make_row(record) for record in some_records(new_record)])
    rows = list(csv.DictReader(StringIO(text)))
    assert rows[1]["retention"] == repr(0.797 / 0.8)
    assert rows[3]["p50_ms"] == "not measured"


def test_markdown_has_one_line_for_each_artifact(new_record: NewRecord) -> None:
    text = render_markdown(some_records(new_record))
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    artifacts = [line for line in lines if line.count("|") == len(COLUMNS)]  # all but one, "of the teacher"
    assert len(artifacts) == 2 + 4
    assert "**Recommended on this device.** tflite int8" in text
    assert "- coreml fp32: Core ML runs on Apple systems only" in text
    assert (
        "504 queries (360 matching pairs), 315 references, codec Flat, score normalisation none, and 1[0,2] on" in text
    )


def test_interval_stands_with_every_micro_ap(new_record: NewRecord) -> None:
    record = new_record(micro_ap=0.6)  # of 0.55 to 0.65, and with score normalisation 0.64 of 0.60 to 0.68
    assert "| 0.600 (0.55-0.65) | 0.640 (0.60-0.68) |" in render_markdown([record])
    page = render_page([record], None)
    assert "0.600<small>0.55-0.65</small>" in page
    assert "0.640<small>0.60-0.68</small>" in page


def test_columns_that_no_row_has_a_figure_for_are_left_out(new_record: NewRecord) -> None:
    record = new_record()
    assert record.accuracy is not None
    plain = record.model_copy(update={"accuracy": record.accuracy.model_copy(update={"normalized": None})})
    assert "micro-AP with SN" in [column.title for column in columns_of([make_row(plain), make_row(record)])]
    assert {"micro-AP with SN", "of the teacher"}.isdisjoint(column.title for column in columns_of([make_row(plain)]))


def test_detection_stands_with_and_without_score_normalisation(new_record: NewRecord) -> None:
    lines = render_markdown([new_record(micro_ap=0.6)]).splitlines()
    assert (
        "| onnx fp32 | none | 0.600 | 0.550 to 0.650 | 0.600 | 0.7000 | 0.900 | 0.950 | 0.900 | 0.750 | not measured |"
    ) in lines
    assert any(line.startswith("| onnx fp32 | 1.0[0,2], 500 images | 0.640 | 0.600 to 0.680 |") for line in lines)
    assert "- not measured, the teacher: no student names one; give --teacher" in lines


def test_stability_stands_with_the_median_and_the_least_cosine(new_record: NewRecord) -> None:
    line = "| onnx fp32 |" + " 0.980 (0.970) |" * len(EDITS) + " 0.600 (0.500) | moves it, as it must |"
    assert line in render_markdown([new_record()])


def cell(index: str, queries: str, micro_ap: float, **changes: object) -> Cell:
    figures = {
        "micro_ap_low": 0.5,
        "micro_ap_high": 0.9,
        "threshold_at_p90": 0.7,
        "cosine_p1": 0.9,
        "cosine_p50": 0.99,
        "top1_changed": 0.0,
    }
    return Cell.model_validate({"index": index * 64, "queries": queries * 64, "micro_ap": micro_ap} | figures | changes)


@pytest.fixture
def matrix(new_record: NewRecord) -> Compatibility:
    """Artifacts 1 and 2: their own queries give 0.8 and 0.7, crossed 0.75 and 0.6."""
    record = new_record()
    assert record.accuracy is not None
    return Compatibility(
        created_utc=record.created_utc,
        device=record.device,
        dataset=record.accuracy.dataset,
        dataset_sha256=record.accuracy.dataset_sha256,
        num_queries=504,
        num_references=315,
        sampled=False,
        members=tuple(
            Member(name=f"m{hash_}", target="onnx", precision=precision, model_sha256=hash_ * 64)
            for hash_, precision in (("1", "fp32"), ("2", "int8"))
        ),
        cells=(
            cell("1", "1", 0.8),
            cell("1", "2", 0.75, threshold_at_p90=None),
            cell("2", "1", 0.6, threshold_at_p90=0.65, top1_changed=0.25),
            cell("2", "2", 0.7),
        ),
    )


def two_records(new_record: NewRecord) -> list[Record]:
    return [new_record(), new_record(info={"name": "m2", "precision": "int8", "model_sha256": "2" * 64})]


def test_matrix_is_drawn_with_its_figures_and_its_worst_pair(new_record: NewRecord, matrix: Compatibility) -> None:
    # 0.6 is 0.1 below 0.7, more than the 0.05 that 0.75 is below 0.8.
    sentence = (
        "Least compatible: an index of onnx int8 queried by onnx fp32: micro-AP 0.600 (0.50-0.90) where its own "
        "queries give 0.700, first answer changed for 25.0% of all queries, cosine p1 0.900, threshold@P90 -0.050 "
        "(measured)."
    )
    page = render_page(two_records(new_record), None, matrix)
    markdown = render_markdown(two_records(new_record), matrix)
    assert sentence in page
    assert sentence in markdown
    assert page.count("class='figure'") + page.count('class="figure"') == 2 * 4  # two heat-maps of four cells
    assert (
        "| onnx int8 | onnx fp32 | 0.600 | 0.500 to 0.900 | -0.100 | 0.900 | 0.990 | 25.0% | 0.6500 | -0.0500 |"
        in markdown
    )
    assert (
        "| onnx fp32 | onnx int8 | 0.750 | 0.500 to 0.900 | -0.050 | 0.900 | 0.990 | 0.0% | never reached | "
        "not measured |" in markdown
    )
    parser = Balance()
    parser.feed(page)
    assert parser.open == []


def test_teacher_is_not_said_to_be_resized_as_artifacts_are(new_record: NewRecord) -> None:
    records = [new_record()]
    assert "resize bilinear, antialiased\n" in render_markdown(records)
    records.append(new_record(info={"name": "t", "target": "teacher", "model_sha256": "9" * 64}))
    assert "resize bilinear, antialiased, the teacher its own filter\n" in render_markdown(records)


def test_shift_that_rounds_to_zero_has_no_minus(matrix: Compatibility) -> None:
    cells = (*matrix.cells[:1], cell("1", "2", 0.8, threshold_at_p90=0.7 - 2.4e-07), *matrix.cells[2:])
    crossed = compatibility_table(matrix.model_copy(update={"cells": cells})).rows[2]
    assert crossed[-2:] == ("0.7000", "+0.0000")


def test_artifacts_of_one_target_and_precision_are_numbered_in_the_matrix(matrix: Compatibility) -> None:
    alike = tuple(member.model_copy(update={"precision": "int8"}) for member in matrix.members)
    found = matrix.model_copy(update={"members": alike})
    assert "an index of onnx int8 (2) queried by onnx int8:" in describe_worst(found)
    assert compatibility_table(found).rows[2][:2] == ("onnx int8", "onnx int8 (2)")
    assert "index onnx int8 (2), queries onnx int8:" in micro_ap_heatmap(found)


def test_matrix_of_the_records_is_found_beside_them(
    new_record: NewRecord, matrix: Compatibility, tmp_path: Path
) -> None:
    for record in two_records(new_record):
        write_record(record, tmp_path / "records")
    write_compatibility(matrix, tmp_path / "records")
    elsewhere = {"dataset_sha256": "e" * 64, "created_utc": "2026-01-01T00:00:00Z"}
    write_compatibility(matrix.model_copy(update=elsewhere), tmp_path / "records")
    (report,) = write_reports(tmp_path / "records", tmp_path / "out")
    assert report.compatibility_path is not None
    rows = list(csv.DictReader(StringIO(report.compatibility_path.read_text())))
    assert [(row["index"], row["queries"]) for row in rows] == [("m1", "m1"), ("m1", "m2"), ("m2", "m1"), ("m2", "m2")]
    assert rows[2]["micro_ap_gain"] == repr(0.6 - 0.7)
    assert rows[1]["threshold_shift"] == "not measured"
    assert "Least compatible" in report.html_path.read_text()


class Balance(HTMLParser):
    """Counts opened tags that were not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, _attrs: object) -> None:
        if tag not in {"meta", "img"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, _attrs: object) -> None:
        assert tag in {"line", "path", "rect", "circle"}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_page_stands_alone_and_is_well_formed(new_record: NewRecord, dataset_dir: Path, tmp_path: Path) -> None:
    dataset = read_dataset(dataset_dir)
    write_examples(dataset, tmp_path)
    page = render_page(some_records(new_record), read_examples(tmp_path, dataset.sha256))
    parser = Balance()
    parser.feed(page)
    assert parser.open == []
    assert not re.search(r"""(src|href)\s*=\s*['"](?!data:)|url\(|@import|https?://""", page)
    assert page.count("<svg") == 2 + 3  # two charts, a trace for each timed artifact
    assert page.count("<img") == 2 * 4
    assert "prefers-color-scheme: dark" in page


def test_page_escapes_what_came_from_outside(new_record: NewRecord) -> None:
    page = render_page([new_record(info={"precision": "<script>x", "target": "<b>"}, failure="<i>no</i>")], None)
    assert "<script>" not in page
    assert "<i>no" not in page


def test_examples_that_are_not_base64_are_refused(dataset_dir: Path, tmp_path: Path) -> None:
    dataset = read_dataset(dataset_dir)
    write_examples(dataset, tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_text(re.sub(r'"query_jpeg":"', "\\g<0>'><script>", path.read_text(), count=1))
    with pytest.raises(InputError, match="is damaged"):
        read_examples(tmp_path, dataset.sha256)


def test_page_without_any_figure_still_says_so(new_record: NewRecord) -> None:
    page = render_page([unmeasured(new_record, "why")], None)
    assert "<svg" not in page
    assert page.count("not measured") > 10


def test_report_folder_that_cannot_be_written_is_named(new_record: NewRecord, tmp_path: Path) -> None:
    write_record(new_record(), tmp_path / "records")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Exception, match="choose another --out"):
        write_reports(tmp_path / "records", tmp_path / "file")


def test_axis_is_linear_from_zero_or_logarithmic_for_wide_spans() -> None:
    assert time_axis([5.0, 50.0], 0.0, 100.0) == Axis(0.0, 54.0, 0.0, 100.0)
    wide = time_axis([1.0, 100.0], 0.0, 100.0)
    assert wide.is_log
    assert wide.at(10.0) == pytest.approx(50.0)
    assert wide.ticks() == [1, 2, 5, 10, 20, 50, 100]


def test_ticks_are_round_and_inside() -> None:
    assert Axis(0.0, 54.0, 0.0, 1.0).ticks() == [0, 20, 40]
    assert Axis(0.71, 0.92, 0.0, 1.0).ticks() == pytest.approx([0.75, 0.8, 0.85, 0.9])
