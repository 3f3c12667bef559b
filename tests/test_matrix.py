"""Detectors x methods: each cell of the page's table steps here."""

import json
import re
from pathlib import Path

import matrix_runs
import mmcv.ops
import pytest
import torch
from matrix_cells import METHODS, TWO_STAGE, batch_for, method_of, pair_of

from kd_det.testing import FAMILIES

PAGE = Path(__file__).parents[1] / 'docs/notes/matrix.md'


@pytest.fixture(scope='module', params=FAMILIES)
def stepped(request, tmp_path_factory):
    """Family, and each method's loss of one step with its gradient."""
    family = request.param
    model = pair_of(family, tmp_path_factory.mktemp(family))
    batch = batch_for(model)
    losses = model(**batch, mode='loss')
    weights = [p for p in model.student.parameters() if p.requires_grad]
    found = {}
    for key, value in losses.items():
        if key.partition('.')[0] not in model.distill:
            continue
        grads = torch.autograd.grad(
            value, weights, retain_graph=True, allow_unused=True
        )
        total = sum(g.abs().sum().item() for g in grads if g is not None)
        name = method_of(key)
        own = value.item(), total
        found[name] = tuple(map(min, own, found.get(name, own)))
    return family, found, model


def test_mixed_precision(stepped):
    """Half precision before the losses, single in them.

    Of the two kinds float16 has the smaller range.
    """
    family, found, model = stepped
    if family in TWO_STAGE and hasattr(mmcv._ext, '__file__'):
        pytest.skip("MMCV's compiled NMS has no half precision on a CPU")
    # attention has no float16 on a CPU
    dtype = torch.bfloat16 if family == 'detr' else torch.float16
    seen = {}
    handles = [
        loss.register_forward_hook(
            lambda _, args, out, key=key: seen.update({key: out})
        )
        for distiller in model.distill.values()
        for key, loss in distiller.losses.items()
    ]
    batch = batch_for(model)
    with torch.autocast('cpu', dtype):
        losses = model(**batch, mode='loss')
    for handle in handles:
        handle.remove()
    assert {method_of(f'.{key}') for key in seen} == {*found}
    for key, value in seen.items():
        assert value.dtype == torch.float32, (family, key)
        assert torch.isfinite(value), (family, key)
    total, _ = model.parse_losses(losses)
    total.backward()
    for key, weight in model.named_parameters():
        if weight.grad is not None:
            assert torch.isfinite(weight.grad).all(), (family, key)
    model.zero_grad()


def test_each_method_teaches(stepped):
    family, found, _ = stepped
    for name, (value, gradient) in found.items():
        assert 0 < value < float('inf'), (family, name)
        assert 0 < gradient < float('inf'), (family, name)


def test_the_page_has_these_cells(stepped):
    """A cell of the table that is not empty steps, an empty one does not."""
    family, found, _ = stepped
    rows = [
        [cell.strip() for cell in line.strip('|\n').split('|')]
        for line in PAGE.read_text().splitlines()
        if line.startswith('|')
    ]
    head = rows[0][1:]
    assert head == METHODS
    table = {re.sub(r'\W', '', row[0]).lower(): row[1:] for row in rows[2:]}
    cells = table[family.replace('_', '')]
    claimed = {m for m, cell in zip(METHODS, cells) if cell}
    assert claimed == {*found}


def test_the_record_has_every_cell(stepped):
    """Each loss of each cell was trained for 50 steps, and most fell."""
    family, found, _ = stepped
    record = json.loads(matrix_runs.RECORD.read_text())[family]
    assert {method_of(f'.loss_{name}') for name in record} == {*found}
    for name, row in record.items():
        assert row['first'] > 0 and row['last'] >= 0, (family, name)


def test_the_page_says_which_do_not_fall():
    assert matrix_runs.summary() in ' '.join(PAGE.read_text().split())


def test_a_few_steps_lower_a_loss(tmp_path):
    row = matrix_runs.train('fcos', tmp_path, steps=8)['dense_KD']
    assert row['last'] < row['first']
