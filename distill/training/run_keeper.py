"""What happens between the training steps: logs, validation, and the files of the run's folder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import torch

from distill.configs.config import RunConfig
from distill.students.student import Student
from distill.training.metrics_log import MetricsLog, Row
from distill.training.module import Distillation
from distill.training.run_folder import RunFolder
from distill.training.run_progress import RunProgress
from distill.training.training_state import State, write_state
from distill.training.validation import Validation

Judge = Callable[[Student, torch.device], Validation]


class RunKeeper(pl.Callback):
    """Acts on the first process; the others wait for it at the end of an epoch."""

    def __init__(
        self,
        folder: RunFolder,
        config: RunConfig,
        save_student: Callable[[Student], None],
        judge: Judge | None,
        facts: State,
        best_micro_ap: float | None,
    ) -> None:
        """`facts` travel in the training state: what a run that goes on is checked against."""
        self._folder, self._config, self._save_student, self._judge = folder, config, save_student, judge
        self._facts = facts
        self.best_micro_ap = best_micro_ap
        self._progress: RunProgress | None = None
        self._log: MetricsLog | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, Distillation)
        if not trainer.is_global_zero:
            return
        losses = [loss.name for loss in self._config.losses]
        columns = ("step", "epoch", "lr", "images_per_s", "loss", *losses, "micro_ap", "recall_at_p90")
        self._log = MetricsLog(self._folder.metrics_path, self._folder.tensorboard_dir, columns, pl_module.step)
        if self._judge is not None and pl_module.step == 0 and self._config.student.start_from is not None:
            found = self._validated(pl_module, self._judge)  # a run must not end with less than it began with
            self._log.write({"step": 0, "epoch": 0.0, **found})
        self._progress = RunProgress(self._config, pl_module.step, pl_module.steps_per_epoch)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        del outputs, batch, batch_idx
        assert isinstance(pl_module, Distillation)
        step = pl_module.step
        epoch_ends = step % pl_module.steps_per_epoch == 0
        if self._log is not None and self._progress is not None:
            self._progress.advance()
            if epoch_ends or step % self._config.log_every_steps == 0:
                row = self._logged(pl_module, self._progress)
                if epoch_ends:
                    row |= self._judged(pl_module)
                    self._progress.say_epoch(step, row)
                self._log.write(row)
                self._progress.read_clock(step)
            if epoch_ends or step % self._config.checkpoint_every_steps == 0:
                write_state(self._folder.state_path, self._state(trainer, pl_module))
        if epoch_ends:
            trainer.strategy.barrier("epoch")

    def _judged(self, module: Distillation) -> Row:
        """Validate where the epoch is due, and keep the student: the best, or the last of a run without a judge."""
        epoch, last = module.step // module.steps_per_epoch, module.step == module.num_steps
        if self._judge is None:
            if last:
                self._save_student(module.finished_student())
            return {}
        if not last and epoch % self._config.validation.every_epochs:
            return {}
        return self._validated(module, self._judge)

    def _validated(self, module: Distillation, judge: Judge) -> Row:
        student = module.finished_student()
        found = judge(student, module.device)
        if self.best_micro_ap is None or found.micro_ap > self.best_micro_ap:
            self.best_micro_ap = found.micro_ap
            self._save_student(student.cpu())
        return {"micro_ap": found.micro_ap, "recall_at_p90": found.recall_at_p90}

    def _logged(self, module: Distillation, progress: RunProgress) -> Row:
        return {
            "step": module.step,
            "epoch": module.step / module.steps_per_epoch,
            "lr": module.last_rate,
            "images_per_s": progress.images_per_s(module.step),
            **{name: value.item() for name, value in module.last_losses.items()},
        }

    def _state(self, trainer: pl.Trainer, module: Distillation) -> State:
        return {
            "step": module.step,
            "module": module.state_dict(),
            "optimizer": trainer.optimizers[0].state_dict(),
            "precision": trainer.precision_plugin.state_dict(),
            "best_micro_ap": self.best_micro_ap,
            "facts": self._facts,
        }

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        del trainer, pl_module
        self._close()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        del trainer, pl_module, exception
        self._close()

    def _close(self) -> None:
        if self._progress is not None:
            self._progress.close()
        if self._log is not None:
            self._log.close()
