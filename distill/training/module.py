"""One training step, as Lightning runs it on any number of processes.

Everything random in a step is drawn from the run's seed, the step and the process, so a run that goes on from a step
has no generator to restore; the learning rate and the order of the images are functions of the step too.
"""

from __future__ import annotations

import copy
from contextlib import AbstractContextManager, nullcontext
from typing import cast

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.strategies import ParallelStrategy
from torch import Tensor

from distill.augmentations.views import ViewBatch
from distill.configs.config import RunConfig
from distill.losses.batch import Batch
from distill.losses.weighted import WeightedLosses
from distill.students.normalization import normalized
from distill.students.student import Student
from distill.training.accumulation import backward_in_parts
from distill.training.mixing import mix_views
from distill.training.online_teacher import OnlineTeacher, resized
from distill.training.optimizers import build_optimizer, learning_rate, set_learning_rate
from distill.training.trained_student import Described, TrainedStudent, mean_decay, update_mean
from distill.training.training_state import State
from icd_mobile.errors import GateError
from icd_mobile.generators import generator

_MAX_NAMED = 10  # files that the error of a bad batch names


class Distillation(pl.LightningModule):
    """The student, the losses with their banks, and the count of steps."""

    def __init__(
        self,
        config: RunConfig,
        model: TrainedStudent,
        losses: WeightedLosses,
        teacher: OnlineTeacher | None,
        steps_per_epoch: int,
        image_names: list[str],
    ) -> None:
        super().__init__()
        self.automatic_optimization = False  # the whole batch's loss, with parts of it in the student at a time
        self.config, self.model, self.losses = config, model, losses
        self.mean_model = copy.deepcopy(model).requires_grad_(False) if config.ema_decay is not None else None
        self.steps_per_epoch, self.image_names = steps_per_epoch, image_names
        self.step = 0  # done so far
        self.last_rate = 0.0  # of the step before, as its losses are
        self.last_losses: dict[str, Tensor] = {}
        self._teacher = [teacher] if teacher is not None else []  # in a list: not a part of what is saved
        self._saved: State | None = None

    @property
    def num_steps(self) -> int:
        """Of the whole run."""
        return self.config.epochs * self.steps_per_epoch

    def learning_rate(self) -> float:
        """Of the step that comes."""
        num_warmup_steps = round(self.config.warmup_epochs * self.steps_per_epoch)
        return learning_rate(self.step, self.num_steps, num_warmup_steps, self.config.optimizer.lr)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        optimizer = build_optimizer(self.model, self.config.optimizer)
        if self._saved is not None:
            optimizer.load_state_dict(cast(dict[str, object], self._saved["optimizer"]))
        return optimizer

    def training_step(self, batch: ViewBatch, batch_index: int) -> None:
        del batch_index  # Lightning's count starts anew when a run goes on
        optimizer = self.optimizers()
        assert isinstance(optimizer, pl.core.optimizer.LightningOptimizer)
        self.last_rate = self.learning_rate()
        set_learning_rate(optimizer.optimizer, self.last_rate)
        total, parts = self._backward(batch)
        self._check_finite("loss", total, batch)
        if self.config.precision != "fp16":  # whose scaler skips such a step
            gradients = [weight.grad for weight in self.model.parameters() if weight.grad is not None]
            self._check_finite("gradient's norm", torch.nn.utils.get_total_norm(gradients), batch)
        optimizer.step()
        optimizer.zero_grad()
        if self.mean_model is not None:
            update_mean(self.mean_model, self.model, mean_decay(self.config.ema_decay or 0.0, self.step))
        self.last_losses = {"loss": total, **parts}
        self.step += 1

    def _backward(self, batch: ViewBatch) -> tuple[Tensor, dict[str, Tensor]]:
        num_images, num_views = batch.views.shape[:2]
        mixed_ids = None
        if self.config.data.mixing is not None:
            rng = generator("mixing", self.config.seed, self.step, self.global_rank)
            views, mixed_ids = mix_views(batch, self.config.data.mixing, rng)
            batch = batch._replace(views=views)
        keys = self._keys(batch) if "momentum_contrast" in self.losses.weights else None
        parts = batch.views.split(min(self.config.micro_batch_size or num_images, num_images))

        def describe(index: int) -> Described:
            self._draw_anew(index)
            return cast(Described, self.model(self._student_images(parts[index].flatten(0, 1))))

        def losses(described: Described) -> tuple[Tensor, dict[str, Tensor]]:
            rows = Batch(
                descriptors=described.descriptors,
                features=described.features,
                wide=described.wide,
                teacher=self._teacher_descriptors(batch),
                image_ids=batch.image_ids.repeat_interleave(num_views),
                mixed_ids=None if mixed_ids is None else mixed_ids.flatten(),
                keys=keys,
                key_ids=batch.image_ids,
            )
            return cast(tuple[Tensor, dict[str, Tensor]], self.losses(rows))

        if len(parts) > 1:
            return backward_in_parts(describe, len(parts), losses, self.manual_backward, self._no_sync, self.model)
        total, by_name = losses(describe(0))
        self.manual_backward(total)
        return total.detach(), by_name

    @torch.no_grad()
    def _keys(self, batch: ViewBatch) -> Tensor:
        """(N, D) what the mean of the weights says of each image's first view."""
        assert self.mean_model is not None
        described = cast(Described, self.mean_model.eval()(self._student_images(batch.views[:, 0])))
        return described.descriptors

    def _student_images(self, pixels: Tensor) -> Tensor:
        """Views drawn for an online teacher are reduced to the student's size."""
        return normalized(resized(pixels.float(), self.config.views_size_px), self.model.student.name)

    def _teacher_descriptors(self, batch: ViewBatch) -> Tensor | None:
        """(N * V, T), from the cache or from the teacher itself."""
        if batch.teacher_descriptors is not None:
            return batch.teacher_descriptors.flatten(0, 1)
        return self._teacher[0].describe(batch.views.flatten(0, 1)) if self._teacher else None

    def _draw_anew(self, part: int) -> None:
        """Dropout and the like draw the same numbers for the same seed, step, process and part."""
        key = (self.config.seed, self.step, self.global_rank, part)
        torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0]))

    def _no_sync(self) -> AbstractContextManager[None]:
        strategy = self.trainer.strategy
        return strategy.block_backward_sync() if isinstance(strategy, ParallelStrategy) else nullcontext()

    def _check_finite(self, what: str, value: Tensor, batch: ViewBatch) -> None:
        """Loss and gradients are means over all processes, so all of them stop at the same step, before it is taken."""
        if torch.isfinite(value):
            return
        names = [self.image_names[index] for index in batch.image_ids.tolist()]
        more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
        raise GateError(
            f"the {what} is {value.item()} at step {self.step}, on the images {', '.join(names[:_MAX_NAMED])}{more}; "
            f"look at these, or lower optimizer.lr"
        )

    def finished_student(self) -> Student:
        """What the run would keep if it ended here: the mean of the weights where there is one."""
        return (self.mean_model or self.model).finished()

    def go_on_from(self, state: State) -> None:
        """Take over the weights, banks and count of a run that was stopped; its optimiser's state when that is built.

        Raises:
            InputError: a bank has another size.
        """
        self.load_state_dict(cast(dict[str, Tensor], state["module"]))
        self.step = cast(int, state["step"])
        self._saved = state

    def on_fit_start(self) -> None:
        self.train()  # Lightning leaves modes alone; frozen batch norms need to be told
        for teacher in self._teacher:
            teacher.to(self.device)
        if self._saved is not None:
            self.trainer.precision_plugin.load_state_dict(cast(dict[str, object], self._saved["precision"]))
            self._saved = None
