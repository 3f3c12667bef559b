"""Outputs of a teacher that are not finite stop what reads them."""

import pytest
import torch
from tiny import (
    build,
    losses_of,
    pair_cfg,
    run_cfg,
    tiny_spec,
    write_weights,
)

from kd_det.errors import UserError
from kd_det.models.finite_watch import FiniteWatch
from kd_det.precompute.centroids import compute_bank

CUDA = torch.cuda.is_available()
NAN, INF = float('nan'), float('inf')


@pytest.fixture(scope='module')
def swollen(tmp_path_factory):
    """A teacher of finite weights that are too large for its outputs."""

    def swell(state):
        for key in state:
            if 'shared_fcs' in key:
                state[key] *= 1e30

    path = tmp_path_factory.mktemp('swollen') / 'teacher.pth'
    return write_weights(tiny_spec(50), path, swell)


@pytest.mark.parametrize('value', [NAN, INF, -INF, 1e25])
def test_what_is_wrong_is_named(value):
    good, bad = torch.ones(2, 3), torch.ones(2, 3)
    bad[1, 2] = value
    look = FiniteWatch().look
    outputs = dict(a=good, b=(good, bad), c=good.long(), d=good[:0])
    assert look(outputs) == ['b']
    assert look(dict(a=good, d=good[:0])) == look({}) == []


def test_half_precision_is_squared_in_full():
    assert FiniteWatch().look(dict(a=torch.full((9,), 6e4).half())) == []


@pytest.mark.skipif(not CUDA, reason='needs a GPU')
def test_a_gpu_tells_later():
    watch = FiniteWatch()
    bad = torch.tensor([INF], device='cuda')
    torch.cuda.set_sync_debug_mode('error')
    try:
        early = watch.look(dict(a=bad))
    finally:
        torch.cuda.set_sync_debug_mode('default')
    torch.cuda.synchronize()
    assert early + watch.look({}) == ['a'] and watch.look({}) == []


def test_a_step_stops(swollen, batch):
    model = build(pair_cfg(swollen))
    with pytest.raises(
        UserError,
        match=r"teacher.pth' gives .*teacher_embed.* that are not finite to "
        'distillers.roi: .* check its weights',
    ):
        losses_of(model, batch)


def test_a_pass_for_class_means_stops(swollen, shapes, tmp_path):
    cfg = run_cfg(pair_cfg(swollen), shapes, tmp_path)
    distiller = build(cfg.model).distill['roi']
    with pytest.raises(
        UserError, match='gives embeddings that are not finite to i'
    ):
        compute_bank(distiller, cfg)
