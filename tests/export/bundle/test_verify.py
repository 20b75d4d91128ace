"""`--verify`: what is no bundle is wrong use, what is a changed bundle fails the gate and names the file."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from export.bundle.bundle import write_manifest
from export.bundle.manifest import Manifest
from export.bundle.verify import verify_bundle
from icd_mobile.errors import GateError, InputError
from icd_mobile.extras import MODULES


def test_a_bundle_as_exported_passes_and_its_golden_images_are_run(bundle: Path) -> None:
    verified = verify_bundle(bundle)
    assert verified.num_golden == 6
    assert verified.cosine_min == pytest.approx(1.0, abs=1e-6)


def test_the_command_line_says_so(run_export, bundle: Path) -> None:
    done = run_export("--verify", bundle, "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["bundles"][0]["bundle"] == bundle.name


def _change(bundle: Path) -> str:
    path = bundle / "model.torchscript.pt"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    return path.name


def _remove(bundle: Path) -> str:
    (bundle / "golden" / "chelsea.pixels.png").unlink()
    return "golden/chelsea.pixels.png"


def _add(bundle: Path) -> str:
    (bundle / "golden" / "extra.png").write_bytes(b"")
    return "golden/extra.png"


def _add_link(bundle: Path) -> str:
    (bundle / "elsewhere").symlink_to(bundle.parent, target_is_directory=True)
    return "elsewhere"


def _link_out(bundle: Path) -> str:
    path = bundle / "README.md"
    path.rename(bundle.parent / "moved.md")
    path.symlink_to(bundle.parent / "moved.md")
    return "README.md"


def _loop(bundle: Path) -> str:
    (bundle / "README.md").unlink()
    (bundle / "README.md").symlink_to("README.md")
    return "README.md"


def _edit_manifest(bundle: Path) -> str:
    path = bundle / "manifest.json"
    path.write_text(path.read_text().replace('"licence": "MIT"', '"licence": "GPL"'))
    return path.name


def _cut_manifest(bundle: Path) -> str:
    path = bundle / "manifest.json"
    path.write_bytes(path.read_bytes()[:-40])
    return path.name


@pytest.mark.parametrize(
    "damage",
    [_change, _remove, _add, _add_link, _link_out, _loop, _edit_manifest, _cut_manifest],
    ids=lambda f: f.__name__,
)
def test_a_changed_bundle_fails_and_the_file_is_named(bundle: Path, damage: Callable[[Path], str]) -> None:
    name = damage(bundle)
    with pytest.raises(GateError) as raised:
        verify_bundle(bundle)
    assert name in str(raised.value)
    assert raised.value.exit_code == 1


@pytest.mark.parametrize("path", ["../secret.txt", "/etc/hostname", "golden/../../secret.txt", "nul\0"])
def test_a_path_that_leads_outside_is_refused_by_name(bundle: Path, path: str) -> None:
    manifest = Manifest.model_validate_json((bundle / "manifest.json").read_text())
    moved = manifest.files[0].model_copy(update={"path": path})
    write_manifest(bundle, manifest.model_copy(update={"files": (moved, *manifest.files[1:])}))
    with pytest.raises(GateError, match="leads outside") as raised:
        verify_bundle(bundle)
    assert repr(path) in str(raised.value)


def test_a_golden_path_that_leads_outside_is_refused(bundle: Path) -> None:
    path = bundle / "golden" / "descriptors.json"
    golden = json.loads(path.read_text())
    golden["images"][0]["pixels"] = "../../outside.png"
    path.write_text(json.dumps(golden))
    _rehash(bundle)
    with pytest.raises(GateError, match="leads outside"):
        verify_bundle(bundle)


def test_a_model_that_the_runtime_refuses_fails(bundle: Path) -> None:
    path = bundle / "model.torchscript.pt"
    path.write_bytes(path.read_bytes()[:1000])
    _rehash(bundle)
    with pytest.raises(GateError, match="does not run here"):
        verify_bundle(bundle)


def test_golden_images_that_give_other_descriptors_fail(bundle: Path) -> None:
    path = bundle / "golden" / "descriptors.json"
    golden = json.loads(path.read_text())
    for image in golden["images"]:
        image["artifact_descriptor"].reverse()
    path.write_text(json.dumps(golden))
    _rehash(bundle)
    with pytest.raises(GateError, match="other descriptors"):
        verify_bundle(bundle)


def _rehash(bundle: Path) -> None:
    from export.bundle.bundle import list_files

    manifest = Manifest.model_validate_json((bundle / "manifest.json").read_text())
    write_manifest(bundle, manifest.model_copy(update={"files": list_files(bundle)}))


@pytest.mark.parametrize("content", [None, "{}", '{"name": "a web app", "version": "1.0"}'])
def test_a_folder_that_is_no_bundle_is_wrong_use(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(InputError, match="is no bundle") as raised:
        verify_bundle(tmp_path)
    assert raised.value.exit_code == 2


def test_a_bundle_of_a_newer_schema_asks_for_an_update(bundle: Path) -> None:
    path = bundle / "manifest.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"schema_version": 99}))
    with pytest.raises(InputError, match="update icd-mobile"):
        verify_bundle(bundle)


def test_an_unknown_key_in_a_manifest_is_refused(bundle: Path) -> None:
    path = bundle / "manifest.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"surprise": 1}))
    with pytest.raises(GateError, match="surprise"):
        verify_bundle(bundle)


def test_an_onnx_bundle_is_verified_where_pytorch_is_not_installed(
    tiny_checkpoint: Path, run_without: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    from distill.students.checkpoint import load_checkpoint
    from export.pipeline import export_bundles

    def silent(_name: str, _what: str) -> None:
        return

    (outcome,) = export_bundles(load_checkpoint(tiny_checkpoint), [("onnx", "fp32")], None, tmp_path, False, silent)
    done = run_without(MODULES, tmp_path, "export", "--verify", str(outcome.bundle_dir))
    assert done.returncode == 0, done.stderr
    assert "6 golden images give their descriptors" in done.stdout
