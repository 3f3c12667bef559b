"""Waits for the device: what is counted, and that a pair has no more."""

import pytest
import torch
from tiny import CLASSES

from kd_det.functional import nd_loss
from kd_det.gpu_check.pairs import Steps, tiny
from kd_det.gpu_check.waits import waits
from kd_det.losses import RKDDistanceLoss
from kd_det.testing import save_teacher, tiny_detector

CPU = torch.device('cpu')
MASK = torch.arange(4) % 2 == 0


def leaf():
    return torch.rand(4, 3, requires_grad=True)


@pytest.mark.parametrize(
    ('run', 'count'),
    [
        (lambda: torch.ones(1).item(), 1),
        (lambda: torch.ones(2).tolist(), 1),
        (lambda: torch.ones(2).numpy(), 1),
        (lambda: torch.ones(2).cpu(), 1),
        (lambda: bool(torch.ones(1)), 1),
        (lambda: MASK.nonzero(), 1),
        (lambda: torch.ones(4)[MASK], 1),
        (lambda: torch.ones(4).masked_select(MASK), 1),
        (lambda: torch.ones(4).unique(), 1),
        # forward and backward: the gradient goes through the mask again
        (lambda: leaf()[MASK].sum().backward(), 2),
        # of known size
        (lambda: torch.ones(4)[torch.tensor([0, 2])], 0),
        (lambda: torch.ones(4).masked_fill(MASK, 0), 0),
        (lambda: torch.ones(4).__setitem__(MASK, 0.0), 0),
        (lambda: torch.where(MASK, 1.0, 0.0), 0),
        (lambda: leaf().square().sum().backward(), 0),
    ],
)
def test_what_counts(run, count):
    assert waits(run, CPU).total() == count


def test_the_place_is_named():
    found = waits(lambda: torch.ones(1).item(), CPU)
    (place,) = found
    file, _, line = place.rpartition(':')
    assert file.endswith('tests/test_gpu_check/test_waits.py')
    assert 'torch.ones(1).item()' in open(__file__).readlines()[int(line) - 1]


def test_checks_that_a_gpu_makes_itself_do_not_count():
    labels = torch.tensor([0, 1, 1, 2])
    run = lambda: nd_loss(leaf(), leaf(), torch.ones(3, 3), labels)  # noqa: E731
    assert waits(run, CPU).total() == 0


def test_rows_are_chosen_with_one_wait():
    keep = MASK
    loss = RKDDistanceLoss(background='foreground')
    run = lambda: loss(leaf(), leaf(), keep).backward()  # noqa: E731
    assert waits(run, CPU).total() == 1


@pytest.fixture(scope='module')
def steps(tmp_path_factory):
    return Steps(tiny(), tmp_path_factory.mktemp('steps'), CPU)


def waits_of(steps, method):
    step = steps.step(steps.model(method))
    step()
    return waits(step, CPU)


def test_a_pair_waits_where_its_student_does(steps):
    alone = waits_of(steps, None)
    assert alone.total() > 10  # it is seen at all
    for method in steps.distillers:
        assert waits_of(steps, method) == alone, method


@pytest.mark.parametrize('family', ['cascade_rcnn', 'double_head', 'fcos'])
def test_other_detectors(family, tmp_path):
    steps = Steps(tiny(), tmp_path, CPU)
    student, teacher = (
        tiny_detector(family, depth, len(CLASSES)) for depth in (18, 50)
    )
    steps.size = type(steps.size)(student, teacher, 32, (64, 96))
    steps.teacher = save_teacher(teacher, tmp_path / 'other.pth')
    method = 'PKD' if family == 'fcos' else 'KD'
    assert waits_of(steps, method) == waits_of(steps, None)
