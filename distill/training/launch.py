"""How many processes train together, as torchrun or SLURM say in the environment; one where neither started us."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from icd_mobile.errors import InputError

if TYPE_CHECKING:
    from distill.configs.config import RunConfig


@dataclass(frozen=True)
class Processes:
    """This process among those of the run."""

    rank: int
    per_node: int
    num_nodes: int

    @property
    def total(self) -> int:
        return self.per_node * self.num_nodes


def check_hardware(config: RunConfig, ours: Processes) -> None:
    """Refuse what this machine's processors cannot do.

    Raises:
        InputError: float16, or batch norms over several processes, without a GPU.
    """
    import torch

    if torch.cuda.is_available():
        return
    if config.precision == "fp16":
        raise InputError("precision=fp16 needs a CUDA device, and PyTorch sees none; use precision=bf16 or fp32")
    if config.batchnorm == "sync" and ours.total > 1:
        raise InputError("batchnorm=sync over processes needs CUDA devices; use batchnorm=batch or frozen")


def processes() -> Processes:
    """Read from the environment.

    Raises:
        InputError: SLURM started tasks, but does not say how many a node.
    """
    environment = os.environ
    if "TORCHELASTIC_RUN_ID" in environment:
        per_node = int(environment["LOCAL_WORLD_SIZE"])
        return Processes(int(environment["RANK"]), per_node, int(environment["WORLD_SIZE"]) // per_node)
    is_shell = environment.get("SLURM_JOB_NAME") in {
        "bash",
        "interactive",
    }  # an allocation, whose tasks srun will start
    if int(environment.get("SLURM_NTASKS", "1")) > 1 and not is_shell:
        if "SLURM_NTASKS_PER_NODE" not in environment:
            raise InputError("SLURM runs several tasks but not how many a node; give srun --ntasks-per-node")
        per_node, num_nodes = int(environment["SLURM_NTASKS_PER_NODE"]), int(environment["SLURM_NNODES"])
        return Processes(int(environment["SLURM_PROCID"]), per_node, num_nodes)
    return Processes(0, 1, 1)
