"""The memory that a step adds."""

import sys

import pytest
import torch

from kd_det.benchmark import memory
from kd_det.benchmark.memory import added_memory

CPU = torch.device('cpu')
MIB = 2**20


@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
def test_a_block_that_is_freed_again():
    """Of 256 MiB, in both steps: the first must not hide the second."""
    for _ in range(2):
        found = added_memory(lambda: torch.ones(64 * MIB).sum(), CPU)
        assert 250 * MIB < found < 300 * MIB
    assert added_memory(lambda: None, CPU) < 16 * MIB


def test_where_it_is_unknown(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, 'RESET', tmp_path / 'missing/clear_refs')
    ran = []
    assert added_memory(lambda: ran.append(1), CPU) is None
    assert ran == [1]
