"""A measured accuracy goes into a bundle whole or not at all, and the bundle still verifies."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from export.bundle import write_accuracy as module
from export.bundle.bundle import check_files, read_manifest
from export.bundle.manifest import SCHEMA_VERSION, Accuracy
from export.bundle.verify import verify_bundle
from export.bundle.write_accuracy import check_can_rewrite, write_accuracy
from icd_mobile.errors import GateError, InputError

MEASURED = Accuracy(
    evidence="measured",
    dataset="mine",
    dataset_sha256="d" * 64,
    device="host (a CPU)",
    runtime="torch 2",
    micro_ap=0.81234,
    recall_at_p90=0.625,
    threshold_at_p90=0.73456789,
)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_manifest_and_card_say_it_and_the_rest_is_unchanged(bundle: Path) -> None:
    before = contents(bundle)
    write_accuracy(bundle, MEASURED)
    verified = verify_bundle(bundle)
    assert verified.cosine_min is not None
    assert read_manifest(bundle).accuracy == MEASURED
    card = (bundle / "README.md").read_text()
    assert "is **0.7346** or more" in card
    assert "62.5% of all copies reached it (measured)" in card
    assert "| 0.812, 0.625, 0.7346 (measured on mine, torch 2, host (a CPU)) |" in card
    after = contents(bundle)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"manifest.json", "manifest.json.sha256", "README.md"}
    assert before.keys() == after.keys()
    assert [path.name for path in bundle.parent.iterdir()] == [bundle.name]


def test_a_crash_on_the_way_leaves_the_old_bundle(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(bundle)
    monkeypatch.setattr(module, "write_manifest", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_accuracy(bundle, MEASURED)
    assert contents(bundle) == before
    assert [path.name for path in bundle.parent.iterdir()] == [bundle.name]


def test_a_bundle_that_has_changed_is_refused(bundle: Path) -> None:
    (bundle / "README.md").write_text("mine")
    with pytest.raises(GateError, match=r"README\.md has changed"):
        write_accuracy(bundle, MEASURED)


def test_an_older_manifest_is_read_and_becomes_a_newer_one(bundle: Path) -> None:
    path = bundle / "manifest.json"
    content = json.loads(path.read_text())
    old = {name: content["accuracy"][name] for name in ("evidence", "dataset", "micro_ap")}
    path.write_text(json.dumps(content | {"schema_version": 1, "accuracy": old}))
    assert read_manifest(bundle).schema_version == 1
    (bundle / "manifest.json.sha256").write_text(_sha256_line(path))
    write_accuracy(bundle, MEASURED)
    assert read_manifest(bundle).schema_version == SCHEMA_VERSION
    check_files(bundle, read_manifest(bundle))


def _sha256_line(path: Path) -> str:
    return f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"


@pytest.mark.parametrize("closed", [".", ".."])
def test_a_place_that_cannot_be_written_is_named_before_the_work(
    closed: str, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = (bundle / closed).resolve()
    check_can_rewrite(bundle)
    monkeypatch.setattr("os.access", lambda path, _mode: path != folder)  # the tests may run as root
    with pytest.raises(InputError, match=f"{folder} is not writable, so no threshold can go into {bundle.name}"):
        check_can_rewrite(bundle)


def test_of_a_link_what_it_leads_to_is_rewritten(bundle: Path) -> None:
    link = bundle.parent / "link"
    link.symlink_to(bundle)
    write_accuracy(link, MEASURED)
    assert link.is_symlink()
    assert read_manifest(bundle).accuracy == MEASURED
