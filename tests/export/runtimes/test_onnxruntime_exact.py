"""When ONNX Runtime is told to be precise: on x86 without VNNI, and where nobody says."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.runtimes import onnxruntime as runtime
from export.runtimes.onnxruntime import exact_int8_options, has_vnni


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx2 avx512f avx512_vnni amx_int8\n", True),
        ("processor\t: 0\nflags\t\t: fpu avx2\n", False),
        ("flags\t\t: fpu avx2 avx_vnni\n", False),  # nobody has looked whether its kernels are exact
        ("Features\t: fp asimd asimddp\n", False),  # ARM, where the option changes nothing
        ("bugs\t\t: avx512_vnni\n", False),
    ],
)
def test_vnni_is_what_linux_lists(listed: str, expected: bool, tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(listed)
    assert has_vnni(tmp_path / "cpuinfo") is expected


def test_where_nothing_is_listed_there_is_none(tmp_path: Path) -> None:
    assert not has_vnni(tmp_path / "cpuinfo")


@pytest.mark.parametrize(("vnni", "entry"), [(True, None), (False, "1")])
def test_onnx_runtime_is_told_to_be_precise_only_where_it_must(
    vnni: bool, entry: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "has_vnni", lambda: vnni)
    options = exact_int8_options()
    if entry is None:
        with pytest.raises(RuntimeError, match="does not have configuration"):
            options.get_session_config_entry("session.x64quantprecision")
    else:
        assert options.get_session_config_entry("session.x64quantprecision") == entry
