"""Real trainings, killed or without space, end as if nothing had happened.

All kinds of kills, N of them: KD_DET_KILLS=N.
"""

import os
import random

import crash_runs
import pytest
import torch
from crash_runs import KINDS, OPERATION, WRITE
from tiny import spare_time

# kind, and the change before which it kills
FEW = [(WRITE, ''), (OPERATION, '.best_'), (OPERATION, 'run.json')]
MANY = [(kind, '') for kind in KINDS] * 100
WHERE = MANY[: int(os.environ.get('KD_DET_KILLS', 0))] or FEW


@pytest.fixture(scope='module')
def kills(tmp_path_factory):
    spare_time()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the processes are forked
    yield crash_runs.Kills(tmp_path_factory.mktemp('kills'))
    torch.set_num_threads(threads)


@pytest.mark.parametrize('number', range(len(WHERE)))
def test_a_killed_run_ends_as_if_never_killed(kills, number):
    kills.draw = random.Random(number)
    row = kills.one(number, *WHERE[number])
    assert row['status'] == 0 and not row['left'] + row['different'], row


def test_no_space_is_told_and_harms_nothing(kills):
    row = kills.no_space('epoch_3.pth')
    assert row['status_full'] == 2 and row['says'].startswith('error: No spa')
    assert row['unfinished'] == [] and row['status'] == 0
    assert row['different'] == []
