"""A search that was interrupted goes on, and never from another one's findings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from export.quantization.search_state import SearchState, search_key


def test_a_finding_is_made_once_also_by_the_next_process(tmp_path: Path) -> None:
    path = tmp_path / "search.json"
    assert SearchState(path, "key").get("error minmax", lambda: 0.5) == 0.5
    again = SearchState(path, "key")
    assert again.num_reused == 1
    assert again.get("error minmax", lambda: pytest.fail("was there already")) == 0.5
    assert again.seconds == pytest.approx(SearchState(path, "key").seconds)


def test_an_interrupted_finding_leaves_the_earlier_ones_whole(tmp_path: Path) -> None:
    path = tmp_path / "search.json"
    state = SearchState(path, "key")
    state.get("first", lambda: [1, 2])

    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        state.get("second", interrupted)
    assert json.loads(path.read_text())["findings"].keys() == {"first"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["search.json"]


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"schema_version": 1, "key": "other", "findings": {"a": {"value": 1, "seconds": 1}}}',
     '{"schema_version": 2, "key": "key", "findings": {"a": {"value": 1, "seconds": 1}}}',
     '{"schema_version": 1, "key": "key", "findings": {"a": 1}}'],
)  # fmt: skip
def test_a_file_that_is_damaged_or_another_search_s_is_started_anew(tmp_path: Path, content: str) -> None:
    path = tmp_path / "search.json"
    path.write_text(content)
    state = SearchState(path, "key")
    assert state.num_reused == 0
    assert state.get("a", lambda: 2) == 2
    assert SearchState(path, "key").get("a", lambda: 3) == 2


def test_a_key_changes_with_each_of_its_parts() -> None:
    assert len({search_key("ab", "c"), search_key("a", "bc"), search_key("ab", "d")}) == 3
