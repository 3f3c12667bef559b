"""Detectors x methods: each cell of the page's table steps here."""

import re
from pathlib import Path

import mmcv.ops
import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope

from kd_det.centroids import CentroidBank
from kd_det.registry import MODELS
from kd_det.testing import FAMILIES, tiny_batch, tiny_pair

PAGE = Path(__file__).parents[1] / 'docs/notes/matrix.md'
NUM = 6
SDD = dict(type='SDDLoss', base=dict(type='KDLoss'))
# Method -> its losses on the class layer of a box head or a dense head.
HEAD = {
    'KD': dict(type='KDLoss'),
    'ND': dict(type='NDLoss'),
    'DKD': dict(type='DKDLoss', beta=0.25, tau=1.0),
    'NKD': dict(type='NKDLoss'),
    'DIST': dict(type='DISTLoss'),
    'SDD': SDD,
    'SRRL': dict(type='SoftmaxRegressionLoss'),
    'RKD': dict(type='RKDAngleLoss'),
}
DENSE = {
    **HEAD,
    'dense KD': dict(type='DenseKDLoss'),
    'SDD': dict(SDD, base=dict(type='SigmoidKDLoss')),
}
LD = {'LD': dict(type='LDLoss')}
CROSS = {
    'CrossKD': dict(type='CrossKDClassLoss'),
    'CrossKD/box': dict(type='CrossKDBoxLoss'),
}
QUERY = {
    'query KD': dict(type='QueryKDLoss'),
    'query KD/box': dict(type='QueryBoxLoss'),
}
# Method -> its loss on feature maps.
MAPS = {
    'PKD': dict(type='PKDLoss'),
    'CWD': dict(type='CWDLoss'),
    'FitNet': dict(type='FitNetLoss'),
    'AT': dict(type='AttentionTransferLoss'),
    'RKD maps': dict(type='MapRelationLoss', base=dict(type='RKDAngleLoss')),
}
MGD = {'MGD': dict(type='MGDLoss')}
# all of its losses; a name ends ahead of the slash
FGD = {
    'FGD': dict(type='FGDFocalLoss'),
    'FGD/attention': dict(type='FGDAttentionLoss'),
    'FGD/global': dict(type='FGDGlobalLoss'),
}
REVIEW = {'ReviewKD': dict(type='ReviewKDLoss')}
# both halves
IE = {
    'IE-KD': dict(type='InheritanceLoss', p='cos'),
    'IE-KD/explore': dict(type='ExplorationLoss', p='cos'),
}
METHODS = [
    *HEAD,
    'dense KD',
    'LD',
    'CrossKD',
    'query KD',
    *MAPS,
    *MGD,
    'FGD',
    *REVIEW,
    'IE-KD',
]

TWO_STAGE = ('faster_rcnn', 'mask_rcnn', 'double_head', 'cascade_rcnn')
CROSSING = ('retinanet', 'fcos', 'atss', 'gfl')
ONE_STAGE = ('retinanet', 'fcos', 'atss', 'gfl', 'rtmdet')
WITH_QUERIES = ('detr', 'deformable_detr', 'dino')


def named(methods):
    return {
        f'loss_{name.replace(" ", "_")}': cfg for name, cfg in methods.items()
    }


def head_of(family):
    """What distils the head of a family, and by which methods."""
    if family in TWO_STAGE:
        methods = dict(HEAD)
        if family == 'double_head':
            del methods['SDD']  # its head takes two inputs
        own = dict(type='RoIDistiller', losses=named(methods))
        return dict(own, stage=0) if family == 'cascade_rcnn' else own
    if family in ONE_STAGE:
        methods = {**DENSE, **(LD if family == 'gfl' else {})}
        return dict(type='DenseDistiller', losses=named(methods))
    return None


@pytest.fixture(scope='module', params=FAMILIES)
def stepped(request, tmp_path_factory):
    """Family, and each method's loss of one step with its gradient."""
    family = request.param
    folder = tmp_path_factory.mktemp(family)
    distillers = dict(
        maps=dict(type='FeatureDistiller', losses=named({**MAPS, **FGD})),
        generated=dict(
            type='FeatureDistiller',
            losses=named(MGD),
            connectors=dict(student_feats=dict(type='MGDConnector')),
        ),
        review=dict(
            type='FeatureDistiller',
            losses=named(REVIEW),
            connectors=dict(student_feats=dict(type='ABFConnector')),
        ),
    )
    distillers['factor'] = dict(
        type='FactorDistiller',
        channels=4,
        auto_encoder=str(folder / 'auto_encoder.pth'),
        losses=named(IE),
    )
    if family in CROSSING:
        distillers['cross'] = dict(
            type='CrossHeadDistiller', losses=named(CROSS), depth=1
        )
    if family in WITH_QUERIES:
        distillers['query'] = dict(type='QueryDistiller', losses=named(QUERY))
    head = head_of(family)
    if head:
        distillers['head'] = dict(head, centroids=str(folder / 'bank.npz'))
    init_default_scope('mmdet')
    torch.manual_seed(0)
    cfg = tiny_pair(
        folder, student=family, teacher=family, distillers=distillers
    )
    model = MODELS.build(cfg)
    model.init_weights()
    factor = model.distill['factor']
    factor.set_auto_encoder(factor.new_auto_encoder())
    if head:
        expected = model.distill['head'].expected_bank()
        shape = expected['num_rows'], expected['width']
        means = np.random.default_rng(0).random(shape, np.float32)
        counts = np.ones(len(means), np.int64)
        bank = CentroidBank(means, counts, (), {})
        model.distill['head'].set_bank(bank)
    with torch.no_grad():  # an untrained one has next to the same to say
        for weight in model.teacher.parameters():  # everywhere
            weight.add_(torch.randn_like(weight), alpha=0.05)
    model.train()
    batch = model.data_preprocessor(tiny_batch(model, size=(96, 128)), True)
    losses = model(**batch, mode='loss')
    weights = [p for p in model.student.parameters() if p.requires_grad]
    found = {}
    for key, value in losses.items():
        distiller, _, name = key.partition('.')
        if distiller not in distillers:
            continue
        grads = torch.autograd.grad(
            value, weights, retain_graph=True, allow_unused=True
        )
        total = sum(g.abs().sum().item() for g in grads if g is not None)
        name = name.removeprefix('loss_').partition('/')[0]
        own = value.item(), total
        found[name] = tuple(map(min, own, found.get(name, own)))
    return family, found, model


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_mixed_precision(stepped, dtype):
    """Half precision before the losses, single in them."""
    family, found, model = stepped
    if family in TWO_STAGE and hasattr(mmcv._ext, '__file__'):
        pytest.skip("MMCV's compiled NMS has no half precision on a CPU")
    if family == 'detr' and dtype == torch.float16:
        pytest.skip('attention has no float16 on a CPU')
    seen = {}
    handles = [
        loss.register_forward_hook(
            lambda _, args, out, key=key: seen.update({key: out})
        )
        for distiller in model.distill.values()
        for key, loss in distiller.losses.items()
    ]
    batch = model.data_preprocessor(tiny_batch(model, size=(96, 128)), True)
    with torch.autocast('cpu', dtype):
        losses = model(**batch, mode='loss')
    for handle in handles:
        handle.remove()
    assert {key.split('/')[0] for key in seen} == {
        f'loss_{name}' for name in found
    }
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
    assert claimed == {name.replace('_', ' ') for name in found}
