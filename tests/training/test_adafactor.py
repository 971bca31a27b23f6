"""Adafactor steps sharded weights like whole weights."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from transformers import Adafactor

from selfcodealign.training.adafactor import ShardedAdafactor

SETTINGS = {"lr": 1e-2, "scale_parameter": False, "relative_step": False}


@pytest.fixture
def one_process() -> Iterator[None]:
    """A process group of one process, in which weights are sharded tensors nevertheless."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def make_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4))


def run_steps(network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    inputs = torch.linspace(-1, 1, 30).view(5, 6)
    for _ in range(4):
        optimizer.zero_grad()
        network(inputs).square().sum().backward()
        optimizer.step()


def test_whole_weights_are_stepped_by_transformers_own_arithmetic():
    """Without sharding nothing differs from transformers' Adafactor, bit for bit."""
    ours, theirs = make_network(), make_network()
    run_steps(ours, ShardedAdafactor(ours.parameters(), **SETTINGS))
    run_steps(theirs, Adafactor(theirs.parameters(), **SETTINGS))
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_sharded_weights_end_as_whole_ones(one_process: None):
    """FSDP2's weights take the same four steps; transformers' optimizer refuses the first."""
    whole, sharded = make_network(), make_network()
    fully_shard(sharded, mesh=torch.distributed.init_device_mesh("cpu", (1,)))
    refused = copy.deepcopy(whole)
    fully_shard(refused, mesh=torch.distributed.init_device_mesh("cpu", (1,)))
    run_steps(whole, ShardedAdafactor(whole.parameters(), **SETTINGS))
    run_steps(sharded, ShardedAdafactor(sharded.parameters(), **SETTINGS))
    for a, b in zip(whole.parameters(), sharded.parameters(), strict=True):
        assert isinstance(b, DTensor)
        torch.testing.assert_close(a, b.full_tensor(), rtol=1e-6, atol=1e-7)
    with pytest.raises(RuntimeError, match=r"mixed torch\.Tensor and DTensor"):
        run_steps(refused, Adafactor(refused.parameters(), **SETTINGS))
