"""The table of runtimes and the files that it names."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import export.runtimes
from export.runtimes import RUNTIMES


@pytest.mark.parametrize("target", RUNTIMES)
def test_a_runtime_file_names_the_package_that_its_row_installs(target: str) -> None:
    """Read and not imported: not every runtime is on this computer."""
    module, package = RUNTIMES[target]
    tree = ast.parse(Path(export.runtimes.__file__).with_name(f"{module}.py").read_text(encoding="utf-8"))
    named = {ast.unparse(node.targets[0]): node.value for node in tree.body if isinstance(node, ast.Assign)}
    assert ast.literal_eval(named["PACKAGE"]) == package
