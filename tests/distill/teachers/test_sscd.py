"""SSCD's three forms against modules written here from its publishers' key names, not from ours."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
import torchvision
from torch import Tensor, nn

from distill.teachers import open_teacher
from distill.teachers.sscd import build_sscd
from icd_mobile.errors import InputError

SIZE_PX = 64


class ClassyBottleneck(nn.Module):
    """Classy Vision's block as its keys show it: the last batch norm stands outside `convolutional_block`."""

    def __init__(self, inputs: int, width: int, outputs: int, stride: int, groups: int) -> None:
        super().__init__()
        self.convolutional_block = nn.Sequential(
            nn.Conv2d(inputs, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, stride, 1, groups=groups, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, outputs, 1, bias=False),
        )
        self.bn = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        return F.relu(shortcut + self.bn(self.convolutional_block(x)))


class ClassyBackbone(nn.Module):
    def __init__(self, depths: list[int], base_width: int, groups: int) -> None:
        super().__init__()
        self.initial_block = nn.Module()
        self.initial_block._module = nn.Sequential(
            nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        )
        stages, inputs = [], 64
        for stage, depth in enumerate(depths):
            blocks = nn.Sequential()
            for index in range(depth):
                stride = 2 if stage and not index else 1
                outputs = 256 << stage
                block = ClassyBottleneck(inputs, base_width << stage, outputs, stride, groups)
                blocks.add_module(f"block{stage}-{index}", block)
                inputs = outputs
            stages.append(blocks)
        self.blocks = nn.Sequential(*stages)

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(self.initial_block._module(x))


class GeM3(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(x.clamp(min=1e-6).pow(3), 1).pow(1 / 3).flatten(1)


class Normalize(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(x)


class ClassySSCD(nn.Module):
    """`backbone` and `embeddings`, as SSCD's own module has them."""

    def __init__(self, depths: list[int], base_width: int, groups: int, dim: int) -> None:
        super().__init__()
        self.backbone = ClassyBackbone(depths, base_width, groups)
        self.embeddings = nn.Sequential(GeM3(), nn.Linear(2048, dim), Normalize())

    def forward(self, x: Tensor) -> Tensor:
        return self.embeddings(self.backbone(x))


class TorchvisionSSCD(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = torchvision.models.resnet50(num_classes=512)
        self.backbone.avgpool = GeM3()
        self.embeddings = Normalize()

    def forward(self, x: Tensor) -> Tensor:
        return self.embeddings(self.backbone(x))


def _randomize_statistics(module: nn.Module) -> None:
    """Batch norms that all differ: a map that confuses two of them changes the descriptors."""
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            for tensor in (norm.weight, norm.running_var):
                nn.init.uniform_(tensor, 0.5, 1.5)
            for tensor in (norm.bias, norm.running_mean):
                nn.init.normal_(tensor, std=0.1)


@pytest.fixture(scope="module")
def classy() -> ClassySSCD:
    torch.manual_seed(0)
    module = ClassySSCD([3, 4, 6, 3], 64, 1, 512)
    _randomize_statistics(module)
    return module.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def torchvision_form(classy: ClassySSCD) -> TorchvisionSSCD:
    """The same weights in torchvision's module, block by block."""
    module = TorchvisionSSCD()
    theirs, ours = classy.backbone, module.backbone
    ours.conv1.load_state_dict(theirs.initial_block._module[0].state_dict())
    ours.bn1.load_state_dict(theirs.initial_block._module[1].state_dict())
    for stage, layer in zip(theirs.blocks, (ours.layer1, ours.layer2, ours.layer3, ours.layer4), strict=True):
        for source, block in zip(stage, layer, strict=True):
            for index, name in ((0, "conv1"), (1, "bn1"), (3, "conv2"), (4, "bn2"), (6, "conv3")):
                getattr(block, name).load_state_dict(source.convolutional_block[index].state_dict())
            block.bn3.load_state_dict(source.bn.state_dict())
            if source.downsample is not None:
                block.downsample.load_state_dict(source.downsample.state_dict())
    ours.fc.load_state_dict(classy.embeddings[1].state_dict())
    return module.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def image() -> Tensor:
    return torch.randn(1, 3, SIZE_PX, SIZE_PX, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def expected(classy: ClassySSCD, image: Tensor) -> Tensor:
    with torch.inference_mode():
        return classy(image).clone()


def _describe(state: dict[str, Tensor], image: Tensor) -> Tensor:
    with torch.inference_mode():
        return F.normalize(build_sscd(state, "the tensors").features(image))


def test_the_classy_form_describes_as_its_own_module(classy: ClassySSCD, image: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(_describe(classy.state_dict(), image), expected, rtol=0, atol=1e-6)


def test_the_torchvision_form_describes_as_its_own_module(
    torchvision_form: TorchvisionSSCD, image: Tensor, expected: Tensor
) -> None:
    with torch.inference_mode():
        torch.testing.assert_close(torchvision_form(image), expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(_describe(torchvision_form.state_dict(), image), expected, rtol=0, atol=1e-6)


def test_the_torchscript_form_describes_as_the_module_that_was_traced(
    classy: ClassySSCD, image: Tensor, expected: Tensor, tmp_path: Path
) -> None:
    path = tmp_path / "sscd.torchscript.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch announces the end of its tracer
        torch.jit.trace(classy, image, check_trace=False).save(path)
    teacher = open_teacher(str(path), input_size_px=SIZE_PX)
    assert (teacher.descriptor_dim, teacher.input_size_px) == (512, SIZE_PX)
    torch.testing.assert_close(teacher.describe(image), expected, rtol=0, atol=1e-6)


def test_lightnings_checkpoint_of_a_training_run_is_taken(
    torchvision_form: TorchvisionSSCD, image: Tensor, expected: Tensor, tmp_path: Path
) -> None:
    state = {f"model.{name}": value for name, value in torchvision_form.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "last.ckpt")
    described = open_teacher(str(tmp_path / "last.ckpt"), input_size_px=SIZE_PX).describe(image)
    torch.testing.assert_close(described, expected, rtol=0, atol=1e-6)


def test_the_key_counts_are_those_of_the_published_files(classy: ClassySSCD, torchvision_form: TorchvisionSSCD) -> None:
    # 53 convolutions, 53 batch norms of five tensors, a Linear: 53 + 265 + 2.
    assert len(classy.state_dict()) == len(torchvision_form.state_dict()) == 320


def test_the_large_one_is_a_resnext_101_32x4d_of_1024_dimensions() -> None:
    with torch.device("meta"):
        state = ClassySSCD([3, 4, 23, 3], 128, 32, 1024).state_dict()
    assert len(state) == 626
    network = build_sscd(state, "the tensors")
    assert (network.descriptor_dim, network.input_size_px) == (1024, 320)
    convolution = network.features.get_submodule("trunk.layer3.22.conv2")
    assert (convolution.groups, convolution.in_channels) == (32, 512)


@pytest.mark.parametrize(
    ("pattern", "replacement", "problem"),
    [
        (r"block2-5\.bn", "block2-5.bm", "4 tensors missing, the first 'trunk.layer3.5.bn3"),
        (r"embeddings\.1\.bias", "embeddings.2.bias", "1 tensors missing, the first 'head.bias'"),
        (r"initial_block\._module\.0", "initial_block.0", "1 tensors missing, the first 'trunk.conv1.weight'"),
        (r"blocks\.2\..*", "lost", "needed one of SSCD's resnet50"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(classy: ClassySSCD, pattern: str, replacement: str, problem: str) -> None:
    state = {re.sub(pattern, replacement, name): value for name, value in classy.state_dict().items()}
    with pytest.raises(InputError, match=f"the tensors do not fit this network: .*{problem}"):
        build_sscd(state, "the tensors")


def test_batch_counters_may_be_missing(classy: ClassySSCD, image: Tensor, expected: Tensor) -> None:
    state = {name: value for name, value in classy.state_dict().items() if not name.endswith("num_batches_tracked")}
    torch.testing.assert_close(_describe(state, image), expected, rtol=0, atol=1e-6)
