"""Who started the run, as torchrun and SLURM say it."""

from __future__ import annotations

import pytest

from distill.configs.config_files import read_config
from distill.training.launch import Processes, check_hardware, processes
from icd_mobile.errors import InputError


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TORCHELASTIC_RUN_ID", "SLURM_NTASKS", "SLURM_JOB_NAME", "SLURM_NTASKS_PER_NODE"):
        monkeypatch.delenv(name, raising=False)


def test_one_process_where_nobody_started_more() -> None:
    assert processes() == Processes(rank=0, per_node=1, num_nodes=1)


def test_torchrun_on_two_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TORCHELASTIC_RUN_ID": "a", "RANK": "9", "WORLD_SIZE": "16", "LOCAL_WORLD_SIZE": "8"}.items():
        monkeypatch.setenv(name, value)
    assert processes() == Processes(rank=9, per_node=8, num_nodes=2)
    assert processes().total == 16


def test_slurm_on_four_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"SLURM_NTASKS": "8", "SLURM_NNODES": "4", "SLURM_PROCID": "5"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match="--ntasks-per-node"):
        processes()
    monkeypatch.setenv("SLURM_NTASKS_PER_NODE", "2")
    assert processes() == Processes(rank=5, per_node=2, num_nodes=4)


def test_a_shell_in_an_allocation_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_NTASKS", "8")
    monkeypatch.setenv("SLURM_JOB_NAME", "bash")
    assert processes().total == 1


def test_batch_norms_over_processes_need_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    sscd = read_config("sscd")
    check_hardware(sscd, Processes(rank=0, per_node=1, num_nodes=1))
    with pytest.raises(InputError, match="batchnorm=sync over processes needs CUDA devices"):
        check_hardware(sscd, Processes(rank=0, per_node=2, num_nodes=1))
