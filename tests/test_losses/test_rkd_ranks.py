"""Relations over two ranks (gloo) are those of one process on all rows."""

import pytest
import ranks
import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from kd_det.losses import DarkRankLoss, RKDAngleLoss, RKDDistanceLoss

WORLD = 2
LOSSES = {
    'distance': RKDDistanceLoss,
    'angle': RKDAngleLoss,
    'order': DarkRankLoss,
}
# how many rows the first rank has of 9; the rest are the second's
SHARES = [5, 7, 9, 0]
OPTIONS = [
    dict(),
    dict(background='foreground', max_samples=4, loss_weight=3.0),
]
CASES = [
    (name, share, number)
    for name in LOSSES
    for share in SHARES
    for number in range(len(OPTIONS))
]


def data(rows=slice(None)):
    generator = torch.Generator().manual_seed(0)
    images, teacher, boxes = (
        torch.randn(9, width, generator=generator).double()
        for width in (4, 5, 2)
    )
    image = torch.arange(9.0)[:, None] // 3
    corners = [boxes.abs() * 50, boxes.abs() * 50 + 30]
    rois = torch.cat([image, *corners], 1)
    rois[4] = rois[3]  # an annotated box among the proposals
    foreground = torch.tensor([1, 1, 0, 1, 1, 1, 0, 1, 1]).bool()
    fields = teacher, foreground, rois
    return images[rows], tuple(field[rows] for field in fields)


def network():
    torch.manual_seed(0)
    layers = torch.nn.Linear(4, 6), torch.nn.Tanh(), torch.nn.Linear(6, 3)
    return torch.nn.Sequential(*layers).double()


def step(model, loss, rows=slice(None)):
    """Return the value and the gradient of a step."""
    images, fields = data(rows)
    value = loss(model(images), *fields)
    value.backward()
    gradient = [p.grad.flatten() for p in model.parameters()]
    return value.detach(), torch.cat(gradient)


def all_steps(rank, folder):
    for name, share, number in CASES:
        rows = slice(0, share) if rank == 0 else slice(share, None)
        for gather in (True, False):
            loss = LOSSES[name](gather=gather, **OPTIONS[number])
            model = DistributedDataParallel(network())
            path = f'{folder}/{name}_{share}_{number}_{gather}_{rank}.pth'
            torch.save(step(model, loss, rows), path)


def work(rank, folder):
    distributed.init_process_group('gloo')
    # in a function: a parallel model that outlives its group can hang
    all_steps(rank, folder)
    distributed.barrier()
    distributed.destroy_process_group()


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('ranks')
    ranks.run(work, WORLD, folder)
    return folder


def results(folder, name, share, number, gather):
    return [
        torch.load(folder / f'{name}_{share}_{number}_{gather}_{rank}.pth')
        for rank in range(WORLD)
    ]


@pytest.mark.parametrize(('name', 'share', 'number'), CASES)
def test_gathered_is_that_of_one_process(folder, name, share, number):
    loss = LOSSES[name](**OPTIONS[number])
    value, gradient = step(network(), loss)
    assert value > 0 and gradient.abs().max() > 1e-4
    for rank in results(folder, name, share, number, True):
        torch.testing.assert_close(rank[0], value, rtol=1e-12, atol=0)
        torch.testing.assert_close(rank[1], gradient, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize('name', LOSSES)
def test_without_each_rank_relates_its_own(folder, name):
    values, gradients = zip(*results(folder, name, 5, 0, False))
    assert values[0] != values[1]
    expected = []
    for rows in (slice(0, 5), slice(5, None)):
        value, gradient = step(network(), LOSSES[name](), rows)
        torch.testing.assert_close(value, values[len(expected)])
        expected.append(gradient)
    mean = (expected[0] + expected[1]) / 2
    torch.testing.assert_close(gradients[0], mean)
    # and that is another loss than the one of all rows
    _, together = step(network(), LOSSES[name]())
    assert (together - mean).abs().max() > 1e-3
