"""The Copydays figures in the report: every block, in Markdown and HTML, and the headline beside the artifact."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bench.records.record import Record
from bench.records.rows import make_row
from bench.report.copydays_table import copydays_table
from bench.report.page import render_page
from bench.report.report import render_markdown
from icd_mobile.datasets.copydays import BLOCKS
from icd_mobile.retrieval.result import CopydaysAccuracy

NewRecord = Callable[..., Record]


@pytest.fixture
def judged(new_record: NewRecord) -> Record:
    """Two blocks of eighteen."""
    copydays = CopydaysAccuracy(
        k=100,
        mean_ap={"strong": 0.8658, "crops/80": 0.75},
        micro_ap_copies=0.5,
        micro_ap_with_originals=0.625,
        micro_ap_sscd=0.626,
    )
    accuracy = new_record().accuracy
    assert accuracy is not None
    return new_record(accuracy=accuracy.model_copy(update={"copydays": copydays}))


def test_each_block_has_a_line_and_those_not_judged_say_so(judged: Record) -> None:
    table = copydays_table([judged], [make_row(judged)])
    assert table.head == ("figure, measured", "onnx fp32")
    assert [line[0] for line in table.rows[: len(BLOCKS)]] == [f"mAP {block}" for block in BLOCKS]
    cells = dict(table.rows)
    assert (cells["mAP strong"], cells["mAP crops/80"]) == ("0.866", "0.750")
    assert cells["mAP jpegqual/3"] == "not measured"
    assert (cells["micro-AP, copies alone"], cells["micro-AP, originals too"]) == ("0.500", "0.625")
    assert cells["the same, as SSCD takes it"] == "0.626"


def test_records_of_other_datasets_have_no_such_table(judged: Record, new_record: NewRecord) -> None:
    other = new_record()
    assert copydays_table([other], [make_row(other)]).rows == ()
    assert len(copydays_table([other, judged], [make_row(other), make_row(judged)]).rows[0]) == 2
    assert "Copydays" not in render_markdown([other]) + render_page([other], None)


def test_report_has_the_table_and_the_headline(judged: Record) -> None:
    markdown = render_markdown([judged])
    assert "\n## Copydays\n" in markdown
    assert "| mAP strong | 0.866 |" in markdown
    assert "| figure, measured | onnx fp32 |\n| --- | ---: |" in markdown
    assert "Copydays: mAP of strong 0.866" in make_row(judged).notes
    page = render_page([judged], None)
    assert "<td class='' data-title='figure, measured'>mAP strong</td>" in page
    assert "<td class='number' data-title='onnx fp32'>0.866</td>" in page
