"""What a run will do and the memory it needs, without doing it: `python -m distill train --dry-run`. Writes nothing.

The memory of activations is measured: one step on a few images, counting what autograd keeps for the backward pass,
each storage once. It grows with the images that are in the student at once, and so it is scaled.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from distill.configs.config import RunConfig
from distill.losses.batch import Batch
from distill.students.normalization import normalized
from distill.training.launch import Processes, processes
from distill.training.optimizers import build_optimizer
from distill.training.run_parts import Parts, build_parts
from distill.training.train import batch_sampler

_MEASURED_IMAGES = 2
_MB = 1e6


@dataclass(frozen=True)
class Memory:
    """Bytes of one process."""

    weights: int
    gradients: int
    optimizer: int
    mean_weights: int
    teacher: int
    banks: int
    activations: int

    @property
    def total(self) -> int:
        return sum(vars(self).values())


def make_plan(config: RunConfig) -> dict[str, object]:
    """The plan as plain values, for `--json`.

    Raises:
        InputError: whatever would stop the run before its first step.
    """
    ours = processes()
    parts = build_parts(config)
    sampler = batch_sampler(config, parts, ours)
    memory = measure_memory(config, parts, ours)
    student = parts.model.student
    return {
        "recipe": config.name,
        "student": student.name,
        "descriptor_dim": student.descriptor_dim,
        "wide_dim": config.student.wide_dim,
        "input_size_px": student.input_size_px,
        "num_parameters": sum(weight.numel() for weight in parts.model.finished().parameters()),
        "teacher": None if config.teacher is None else config.teacher.name,
        "losses": {loss.name: loss.weight for loss in config.losses},
        "num_images": len(parts.images.names),
        "num_skipped": parts.images.num_skipped,
        "num_views": config.data.num_views,
        "views_size_px": config.views_size_px,
        "batch_size": config.batch_size,
        "num_processes": ours.total,
        "epochs": config.epochs,
        "num_steps": sampler.num_steps,
        "optimizer": config.optimizer.name,
        "lr": config.optimizer.lr,
        "validation": config.validation.dataset,
        "memory_bytes": vars(memory) | {"total": memory.total},
    }


def measure_memory(config: RunConfig, parts: Parts, ours: Processes) -> Memory:
    """One step of a few images through the student and the losses; the weights are not moved."""
    model, losses = parts.model.train(), parts.losses.train()
    size = config.views_size_px
    rows = _MEASURED_IMAGES * config.data.num_views
    kept: dict[int, int] = {}
    own = {tensor.untyped_storage().data_ptr() for tensor in model.state_dict().values()}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    images = normalized(torch.randint(0, 256, (rows, 3, size, size), dtype=torch.uint8), model.student.name)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        described = model(images)
        teacher = torch.randn(rows, parts.teacher_dim) if parts.teacher_dim is not None else None
        ids = torch.arange(_MEASURED_IMAGES).repeat_interleave(config.data.num_views)
        keys = described.descriptors.detach()[:: config.data.num_views]
        batch = Batch(
            described.descriptors,
            described.features,
            described.wide,
            teacher,
            ids,
            keys=keys,
            key_ids=ids[:: config.data.num_views],
        )
        total, _ = losses(batch)
    total.backward()
    optimizer = build_optimizer(model, config.optimizer)
    gradients = _bytes(weight.grad for weight in model.parameters() if weight.grad is not None)
    optimizer.step()
    state = [value for values in optimizer.state.values() for value in values.values() if isinstance(value, Tensor)]
    at_once = min(config.batch_size // ours.total, config.micro_batch_size or config.batch_size)
    return Memory(
        weights=_bytes(model.state_dict().values()),
        gradients=gradients,
        optimizer=_bytes(state),
        mean_weights=_bytes(model.state_dict().values()) if config.ema_decay is not None else 0,
        teacher=0 if parts.teacher is None else parts.teacher.num_bytes(),
        banks=_bytes(losses.state_dict().values()),
        activations=sum(kept.values()) * at_once // _MEASURED_IMAGES,
    )


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def plan_text(plan: dict[str, object]) -> str:
    """The plan as lines for people."""
    wide = f", compact projection after {plan['wide_dim']}-d" if plan["wide_dim"] else ""
    losses = plan["losses"]
    memory = plan["memory_bytes"]
    assert isinstance(losses, dict)
    assert isinstance(memory, dict)
    lines = {
        "recipe": f"{plan['recipe']}",
        "student": f"{plan['student']}, {plan['descriptor_dim']}-d{wide}, {plan['input_size_px']} px, "
        f"{plan['num_parameters']:,} parameters",
        "teacher": f"{plan['teacher'] or 'none'}",
        "losses": " + ".join(f"{weight:g} {name}" for name, weight in losses.items()),
        "images": f"{plan['num_images']:,}, {plan['num_skipped']:,} skipped; {plan['num_views']} views of each "
        f"at {plan['views_size_px']} px",
        "steps": f"{plan['num_steps']:,} in {plan['epochs']} epochs, {plan['batch_size']} images each, over "
        f"{plan['num_processes']} processes",
        "optimizer": f"{plan['optimizer']}, peak learning rate {plan['lr']:g}",
        "validation": f"{plan['validation'] or 'none'}",
        "memory of a process": f"{memory['total'] / _MB:,.0f} MB: "
        + ", ".join(f"{name} {value / _MB:,.0f}" for name, value in memory.items() if name != "total" and value),
    }
    text = "\n".join(f"{title:<20} {value}" for title, value in lines.items())
    return (
        f"{text}\n\nActivations, gradients and states were measured on {_MEASURED_IMAGES} images in fp32 and scaled; "
        f"what libraries and the loader need comes on top. Nothing was written."
    )
