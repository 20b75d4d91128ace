"""From paths to artifacts: every bundle is checked before anything is measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import export.mil
import export.runtimes
from bench.artifacts.artifact import baseline_artifact, bundle_artifact, find_bundles
from distill.students.checkpoint import load_checkpoint, random_student
from icd_mobile.errors import GateError, InputError

NewBundle = Callable[..., Path]


def test_bundle_and_folder_of_bundles_are_both_taken_once(new_bundle: NewBundle) -> None:
    first, second = new_bundle("a"), new_bundle("b")
    (first.parent / "notes").mkdir()
    assert find_bundles([first.parent]) == [first, second]
    assert find_bundles([second, first.parent]) == [second, first]


def test_hidden_folder_of_an_unfinished_export_is_passed_over(new_bundle: NewBundle) -> None:
    whole = new_bundle("a")
    new_bundle("b").rename(whole.parent / ".b.123.tmp")
    assert find_bundles([whole.parent]) == [whole]


def test_bundle_whose_name_leads_elsewhere_is_refused(new_bundle: NewBundle) -> None:
    bundle = new_bundle("a")
    manifest = bundle / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"name": "a"', '"name": "../evil"', 1))
    assert "../evil" in manifest.read_text()
    with pytest.raises(InputError, match="damaged at 'name'"):
        bundle_artifact(bundle)


@pytest.mark.parametrize("make", [True, False])
def test_path_without_bundles_says_how_to_make_one(tmp_path: Path, make: bool) -> None:
    if make:
        (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="python -m export"):
        find_bundles([tmp_path / "empty"])


def test_bundle_gives_its_facts_and_a_runtime(bundle_dir: Path) -> None:
    artifact = bundle_artifact(bundle_dir)
    assert (artifact.info.target, artifact.info.student, artifact.info.input_size_px) == ("onnx", "tiny", 64)
    assert artifact.info.model_bytes == artifact.model_path.stat().st_size
    assert artifact.runtime_path is not None
    assert artifact.runtime_path.is_file()


def test_core_ml_is_left_to_its_reference_where_it_does_not_run(
    new_bundle: NewBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = new_bundle("c", target="coreml")
    monkeypatch.setattr(export.runtimes, "NO_RUNTIME", {"coreml": "Core ML runs on Apple systems only"})
    artifact = bundle_artifact(bundle)
    assert (artifact.evidence, artifact.not_measured) == ("reference", "Core ML runs on Apple systems only")
    assert artifact.runtime_path == Path(export.mil.__file__).with_name("session.py")
    monkeypatch.setattr(export.runtimes, "NO_RUNTIME", {})
    artifact = bundle_artifact(bundle)
    assert (artifact.evidence, artifact.not_measured) == ("measured", "")
    assert artifact.runtime_path == Path(export.runtimes.__file__).with_name("coreml.py")


def test_a_target_without_runtime_and_reference_says_so(new_bundle: NewBundle) -> None:
    artifact = bundle_artifact(new_bundle("c", target="palmos"))
    assert artifact.runtime_path is None
    assert (artifact.evidence, artifact.not_measured) == ("measured", "no runtime for 'palmos' here")


def test_changed_model_is_a_failed_gate(new_bundle: NewBundle) -> None:
    bundle = new_bundle("changed")
    (bundle / "model.onnx").write_bytes(b"other")
    with pytest.raises(GateError, match=r"model\.onnx"):
        bundle_artifact(bundle)


def test_baseline_is_the_student_as_one_whole_file(tmp_path: Path) -> None:
    artifact = baseline_artifact("efficientnet_lite0", tmp_path)
    assert artifact.info.name == "efficientnet_lite0-pytorch-fp32"
    assert artifact.info.weights_sha256 == random_student("efficientnet_lite0").weights_sha256
    assert load_checkpoint(artifact.model_path).weights_sha256 == artifact.info.weights_sha256


def test_unknown_baseline_suggests_the_closest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'resnet18'"):
        baseline_artifact("resnet8", tmp_path)
