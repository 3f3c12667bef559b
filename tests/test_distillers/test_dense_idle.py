"""DenseDistiller: no head runs twice, and at weight 0 it changes nothing."""

import copy

import pytest
import torch
from mmengine.registry import init_default_scope
from test_distillers.test_dense_distiller import ALL, LAYERS, build, prepared

from kd_det.errors import UserError
from kd_det.registry import MODELS
from kd_det.testing import tiny_detector, tiny_pair

ZERO = {name: dict(cfg, loss_weight=0.0) for name, cfg in ALL.items()}


@pytest.fixture(scope='module', params=LAYERS)
def pair(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    return request.param, build(folder, request.param, ZERO)


def grads_of(model, data):
    """Gradients by name, and the losses."""
    torch.manual_seed(0)
    samples = copy.deepcopy(data['data_samples'])
    losses = model(data['inputs'], samples, mode='loss')
    model.zero_grad()
    model.parse_losses(losses)[0].backward(retain_graph=True)
    student = getattr(model, 'student', model)
    found = {k: p.grad for k, p in student.named_parameters()}
    return {k: g.clone() for k, g in found.items() if g is not None}, losses


def test_the_gradients_are_those_of_plain_training(pair):
    family, model = pair
    data = prepared(model)
    plain = copy.deepcopy(model.student)
    expected, _ = grads_of(plain, data)
    ours, losses = grads_of(model, data)
    for key, value in expected.items():
        # a gradient of zeros can change the memory layout of what it is
        # added to, and the order in which RTMDet's batch norms then sum
        close = dict(rtol=0, atol=3e-5 * value.abs().max())
        exact = dict(rtol=0, atol=0)
        torch.testing.assert_close(
            ours[key], value, **(close if family == 'rtmdet' else exact)
        )
    for key in {*ours} - {*expected}:
        assert not ours[key].any(), (family, key)
    for key, value in plain.state_dict().items():  # also running statistics
        own = model.student.state_dict()[key]
        assert torch.equal(own, value), (family, key)
    added = sum(v for k, v in losses.items() if k.startswith('dense.'))
    weights = [p for p in model.student.parameters() if p.requires_grad]
    grads = torch.autograd.grad(added, weights, allow_unused=True)
    assert not any(g.any() for g in grads if g is not None)
    model.zero_grad()


def test_each_class_layer_runs_once_a_level(pair):
    family, model = pair
    calls = dict(student=[], teacher=[])
    handles = [
        network.get_submodule(path).register_forward_hook(
            lambda _, args, out, side=side: calls[side].append(out.shape)
        )
        for side, network in (
            ('student', model.student),
            ('teacher', model.teacher.model),
        )
        for path in {*LAYERS[family]}
    ]
    model(**prepared(model), mode='loss')
    for handle in handles:
        handle.remove()
    assert len(calls['student']) == len(LAYERS[family])
    # the second time on the student's maps, for the cross logits
    assert len(calls['teacher']) == 2 * len(LAYERS[family])
    assert {*calls['teacher']} == {*calls['student']}


def narrow(folder, losses, connectors):
    """A student whose class layer reads 8 channels, a teacher of 16."""
    spec = tiny_detector('retinanet')
    spec['neck'] = dict(spec['neck'], out_channels=8)
    spec['bbox_head'] = dict(spec['bbox_head'], in_channels=8, feat_channels=8)
    init_default_scope('mmdet')
    dense = dict(type='DenseDistiller', losses=losses, connectors=connectors)
    cfg = tiny_pair(
        folder,
        student=spec,
        teacher='retinanet',
        distillers=dict(dense=dense),
    )
    torch.manual_seed(0)
    model = MODELS.build(cfg)
    model.init_weights()
    return model.train()


MAPS = dict(student_maps=dict(type='ConvAdaptor'))
EMBED = dict(student_embed=dict(type='LinearAdaptor'))
SR = dict(loss_sr=dict(type='SoftmaxRegressionLoss'))
NORM = dict(loss_norm=dict(type='NormLoss'))


def test_connected_maps_by_hand(tmp_path):
    """Embeddings and cross logits are both of what the connector makes."""
    model = narrow(tmp_path, {**SR, **NORM}, MAPS)
    distiller, made, seen = model.distill['dense'], [], {}
    handles = [
        distiller.connectors['student_maps'].register_forward_hook(
            lambda _, args, out: made.extend(out)
        ),
        distiller.register_forward_pre_hook(
            lambda _, args: seen.update(args[0])
        ),
    ]
    losses = model(**prepared(model), mode='loss')
    for handle in handles:
        handle.remove()
    layer = model.teacher.model.bbox_head.retina_cls
    places, rows = [], []
    for level in made:
        logits = layer(level)
        for image in range(len(level)):
            for y in range(level.shape[2]):
                for x in range(level.shape[3]):
                    places.append(level[image, :, y, x])
                    rows += logits[image, :, y, x].split(6)
    on_object = seen['dense_foreground'].nonzero()[:, 0].tolist()
    assert on_object
    for number, row in enumerate(on_object):
        assert torch.equal(seen['student_embed'][number], places[row // 9])
        torch.testing.assert_close(seen['cross_logits'][number], rows[row])
    assert losses['dense.loss_sr'] > 0


@pytest.mark.parametrize(
    'losses, connectors, message',
    [
        (SR, EMBED, "cross_logits, .* student's maps; use .*student_maps"),
        (NORM, {**MAPS, **EMBED}, 'student_maps and student_embed.*keep one'),
        (SR, {}, '8 wide, the teacher.* 16; add connectors.*student_maps'),
        (NORM, {}, '8 wide, the teacher.* 16; add connectors.*student_embed'),
    ],
)
def test_widths_that_nothing_brings_together(
    tmp_path, losses, connectors, message
):
    with pytest.raises(UserError, match=message) as caught:
        narrow(tmp_path, losses, connectors)
    assert '\n' not in str(caught.value)
