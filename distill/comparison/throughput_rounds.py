"""The rounds of `distill.comparison.throughput`: the trainer runs, and between its steps the two others take turns."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import timm
import torch
from torch import Tensor, nn

from distill.augmentations.views import ViewBatch
from distill.configs.config import RunConfig
from distill.losses.batch import Batch
from distill.students.normalization import normalized
from distill.teachers.teacher import Network, Teacher
from distill.training.launch import Processes
from distill.training.module import Distillation
from distill.training.online_teacher import OnlineTeacher
from distill.training.optimizers import build_optimizer
from distill.training.run_folder import RunFolder
from distill.training.run_keeper import RunKeeper
from distill.training.run_parts import Parts, build_parts
from distill.training.train import batch_sampler, build_trainer, quieten_lightning, view_loader

TEACHER_DIM, TEACHER_SIZE_PX = 512, 224
NUM_WARMUPS = 2  # steps of the loop before the first round


@dataclass
class Rounds:
    """Seconds a step, round by round."""

    bare_s: list[float] = field(default_factory=list)
    loop_s: list[float] = field(default_factory=list)
    online_s: list[float] = field(default_factory=list)

    @property
    def of_bare(self) -> float:
        """Rate of the loop over the bare rate."""
        return statistics.median(bare / loop for bare, loop in zip(self.bare_s, self.loop_s, strict=True))

    @property
    def of_online(self) -> float:
        """Rate of the loop over that with a teacher in it."""
        return statistics.median(online / loop for online, loop in zip(self.online_s, self.loop_s, strict=True))


class _RandomFeatures(nn.Module):
    """Descriptors at random, as cheap as can be, for a cache whose contents do not matter."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.randn(len(images), TEACHER_DIM)


def random_teacher(input_size_px: int) -> Teacher:
    """What the cache is made with."""
    return Teacher("bench", Network(_RandomFeatures(), TEACHER_DIM, input_size_px), "0" * 64, "none", "random")


class TakeTurns(pl.Callback):
    """Times some steps of the loop, then as many of each other, and so on; their time is not the loop's."""

    def __init__(self, others: dict[str, Callable[[ViewBatch], None]], num_steps: int) -> None:
        self._others, self._num_steps = others, num_steps
        self.rounds = Rounds()
        self._done = -NUM_WARMUPS
        self._began_s = 0.0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        del trainer, pl_module, outputs, batch_idx
        self._done += 1
        if self._done > 0 and self._done % self._num_steps == 0:
            self.rounds.loop_s.append((time.perf_counter() - self._began_s) / self._num_steps)
            for name, step in self._others.items():
                began_s = time.perf_counter()
                for _ in range(self._num_steps):
                    step(batch)
                getattr(self.rounds, name).append((time.perf_counter() - began_s) / self._num_steps)
        if self._done >= 0 and self._done % self._num_steps == 0:
            self._began_s = time.perf_counter()


def run_rounds(config: RunConfig, folder: Path, num_rounds: int, num_steps: int) -> Rounds:
    """Run the trainer in a folder until the rounds are done."""
    quieten_lightning()
    alone = Processes(0, 1, 1)
    parts = build_parts(config)
    sampler = batch_sampler(config, parts, alone)
    module = Distillation(config, parts.model, parts.losses, None, sampler.steps_per_epoch, parts.images.names)
    bare = bare_step(config, parts)
    teacher = resnet50_teacher()

    def online(batch: ViewBatch) -> None:
        teacher.describe(batch.views.flatten(0, 1))
        bare(batch)

    keeper = RunKeeper(RunFolder(folder / "run"), config, lambda _student: None, None, {}, None)
    turns = TakeTurns({"bare_s": bare, "online_s": online}, num_steps)
    trainer = build_trainer(config, alone, keeper, turns, max_steps=NUM_WARMUPS + num_rounds * num_steps)
    trainer.fit(module, train_dataloaders=view_loader(config, parts, sampler))
    return turns.rounds


def bare_step(config: RunConfig, parts: Parts) -> Callable[[ViewBatch], None]:
    """One step of a copy of the student on the first batch it is given, which it keeps."""
    model, losses = copy.deepcopy(parts.model).train(), copy.deepcopy(parts.losses).train()
    optimizer = build_optimizer(model, config.optimizer)
    held: list[tuple[Tensor, Tensor | None, Tensor]] = []

    def step(batch: ViewBatch) -> None:
        if not held:
            images = normalized(batch.views.flatten(0, 1), model.student.name)
            descriptors = batch.teacher_descriptors
            teacher = None if descriptors is None else descriptors.flatten(0, 1)
            held.append((images, teacher, batch.image_ids.repeat_interleave(batch.views.shape[1])))
        images, teacher, ids = held[0]
        described = model(images)
        total, _ = losses(Batch(described.descriptors, described.features, described.wide, teacher, ids))
        total.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def resnet50_teacher() -> OnlineTeacher:
    """SSCD's network at random weights: its cost is that of the trained one."""
    network = timm.create_model("resnet50", num_classes=TEACHER_DIM).eval()
    network = network.to(memory_format=torch.channels_last)
    return OnlineTeacher(Teacher("resnet50", Network(network, TEACHER_DIM, TEACHER_SIZE_PX), "", "", "random"))
