"""The names of datasets: what they stand for, once prepared."""

from __future__ import annotations

from pathlib import Path

import pytest

from icd_mobile.datasets.prepared import dataset_place
from icd_mobile.errors import OutsideError


@pytest.mark.parametrize(("name", "content"), [("copydays", "original/x"), ("disc", "dev_queries_groundtruth.csv")])
def test_name_is_a_folder_once_it_is_prepared(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()  # as a download that was cut off leaves it
    with pytest.raises(OutsideError, match=f"{name} is not in .*; fetch it: python -m bench prepare {name}"):
        dataset_place(name, tmp_path)
    (tmp_path / name / content).parent.mkdir(exist_ok=True)
    (tmp_path / name / content).write_bytes(b"")
    assert dataset_place(name, tmp_path) == tmp_path / name


def test_any_other_name_is_a_path(tmp_path: Path) -> None:
    assert dataset_place("photos/mine", tmp_path) == Path("photos/mine")
