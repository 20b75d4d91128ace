"""A whole run: from a configuration to a student checkpoint, on one process or many.

Lightning starts the processes, places the model and casts; its epochs and its checkpoints are not used. The run is one
sequence of steps, and whatever a step needs follows from its number (see `distill.training.module`), so that going on
from a step is beginning there.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import lightning.pytorch as pl
import torch
from lightning.pytorch.strategies import DDPStrategy
from torch.utils.data import DataLoader

from distill.augmentations.views import ViewBatch, collate_views
from distill.configs.config import RunConfig
from distill.configs.config_files import recipe_command
from distill.students.checkpoint import make_card, save_checkpoint
from distill.students.student import Student
from distill.training.launch import Processes
from distill.training.module import Distillation
from distill.training.run_folder import RunFolder, write_config
from distill.training.run_keeper import Judge, RunKeeper
from distill.training.run_parts import Parts
from distill.training.sampling import BatchSampler
from distill.training.training_state import State
from icd_mobile.git import git_revision
from icd_mobile.workers import end_with_parent

_PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


@dataclass(frozen=True)
class Trained:
    """What a run came to."""

    num_steps: int
    best_micro_ap: float | None


def train(
    config: RunConfig,
    parts: Parts,
    folder: RunFolder,
    processes: Processes,
    judge: Judge | None,
    resumed: State | None = None,
) -> Trained:
    """Run from the beginning, or from the state of a run that was stopped.

    Raises:
        InputError: fewer images than a batch, a batch that does not divide over the processes, or a full disk.
        GateError: the loss is not finite.
        KeyboardInterrupt: Ctrl-C; the last training state stays.
    """
    quieten_lightning()
    sampler = batch_sampler(config, parts, processes, start_step=0 if resumed is None else _step(resumed))
    if processes.rank == 0:
        write_config(folder, config)
    module = Distillation(config, parts.model, parts.losses, parts.teacher, sampler.steps_per_epoch, parts.images.names)
    best = None
    if resumed is not None:
        module.go_on_from(resumed)
        best = resumed["best_micro_ap"]
    keeper = RunKeeper(
        folder,
        config,
        _student_saver(config, parts, folder),
        judge,
        parts.facts(config),
        best if isinstance(best, float) else None,
    )
    trainer = build_trainer(config, processes, keeper)
    try:
        trainer.fit(module, train_dataloaders=view_loader(config, parts, sampler))
    except SystemExit as stopped:  # what Lightning makes of Ctrl-C
        if isinstance(stopped.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from stopped
        raise
    return Trained(module.step, keeper.best_micro_ap)


def build_trainer(config: RunConfig, processes: Processes, *callbacks: pl.Callback, max_steps: int = -1) -> pl.Trainer:
    """Lightning's trainer, with nothing of it but processes, placement, casting and callbacks."""
    return pl.Trainer(
        accelerator="auto",
        devices=processes.per_node,
        num_nodes=processes.num_nodes,
        # Banks are buffers, and the same on all processes; a recipe whose losses pass a layer by leaves it unused.
        strategy=DDPStrategy(broadcast_buffers=False, find_unused_parameters=True) if processes.total > 1 else "auto",
        precision=_PRECISIONS[config.precision],  # type: ignore[arg-type]
        max_epochs=1,
        max_steps=max_steps,
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        use_distributed_sampler=False,
    )


def batch_sampler(config: RunConfig, parts: Parts, processes: Processes, start_step: int = 0) -> BatchSampler:
    """This process's part of the run's batches."""
    return BatchSampler(
        len(parts.images.names),
        config.batch_size,
        config.epochs,
        config.seed,
        start_step=start_step,
        rank=processes.rank,
        num_ranks=processes.total,
    )


def view_loader(config: RunConfig, parts: Parts, sampler: BatchSampler) -> DataLoader[ViewBatch]:
    """The batches, drawn by `data.num_workers` worker processes, or by this one."""
    return DataLoader(
        parts.images.dataset,  # type: ignore[arg-type]  # gives items, which the collation joins to batches
        batch_sampler=sampler,
        num_workers=config.data.num_workers,
        worker_init_fn=end_with_parent,
        collate_fn=collate_views,
        pin_memory=torch.cuda.is_available(),
    )


def _step(state: State) -> int:
    step = state["step"]
    assert isinstance(step, int)
    return step


def _student_saver(config: RunConfig, parts: Parts, folder: RunFolder) -> Callable[[Student], None]:
    revision = git_revision()

    def save(student: Student) -> None:
        card = make_card(
            student,
            trunk=parts.trunk,
            recipe=recipe_command(config),
            data=f"{len(parts.images.names):,} images: {config.data.about or parts.images.source_name}",
            licence=config.data.licence,
            teacher=parts.teacher_name,
            git_revision=revision,
        )
        save_checkpoint(folder.student_path, student, card)

    return save


def quieten_lightning() -> None:
    """Its notices are for people who write training code, and so is what DistributedDataParallel says."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\.")
    for message in ("Grad strides do not match bucket view strides", "find_unused_parameters=True was specified"):
        warnings.filterwarnings("ignore", message=message)
