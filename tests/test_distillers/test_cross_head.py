"""CrossKD on real heads: layer by layer, decoded by hand, and refusals."""

import copy

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope

from kd_det.errors import UserError
from kd_det.registry import MODELS
from kd_det.testing import tiny_batch, tiny_detector, tiny_pair

CLASS = dict(loss_class=dict(type='CrossKDClassLoss'))
BOTH = dict(CLASS, loss_box=dict(type='CrossKDBoxLoss'))
ALL = dict(BOTH, loss_edge=dict(type='CrossKDEdgeLoss'))
HEADS = ('retinanet', 'fcos', 'atss', 'gfl')
LAYERS = dict(
    retinanet=('retina_cls', 'retina_reg'),
    fcos=('conv_cls', 'conv_reg'),
    atss=('atss_cls', 'atss_reg'),
    gfl=('gfl_cls', 'gfl_reg'),
)
SIZE = 128, 96


def build(folder, student='gfl', teacher=None, losses=BOTH, **kwargs):
    init_default_scope('mmdet')
    own = dict(type='CrossHeadDistiller', losses=losses, depth=1)
    cfg = tiny_pair(
        folder,
        student=student,
        teacher=teacher or student,
        distillers=dict(dense=dict(own, **kwargs)),
    )
    torch.manual_seed(0)
    model = MODELS.build(cfg)
    model.init_weights()
    with torch.no_grad():  # an untrained one says the same everywhere
        for weight in (
            *model.teacher.parameters(),
            *model.student.parameters(),
        ):
            weight.add_(torch.randn_like(weight), alpha=0.05)
    return model.train()


def step(model, data=None):
    """The losses of a step, what they were made of, and the batch."""
    seen = {}
    distiller = model.distill['dense']
    if data is None:
        data = model.data_preprocessor(tiny_batch(model, size=SIZE), True)
    handle = distiller.register_forward_pre_hook(
        lambda _, args: seen.update(args[0])
    )
    losses = model(**copy.deepcopy(data), mode='loss')
    handle.remove()
    return losses, seen, data


def before_activation(head, tower, x, depth):
    """The output of a layer of a tower without its ReLU, and what goes on."""
    layers = getattr(head, tower)
    for layer in layers[: depth - 1]:
        x = layer(x)
    x = layers[depth - 1].conv(x)
    if layers[depth - 1].with_norm:
        x = layers[depth - 1].norm(x)
    return x


def by_hand(ours, theirs, head, tower, last, depth):
    """Standardise channel by channel, then run the rest of the head."""
    x = torch.empty_like(theirs)
    for c in range(x.shape[1]):
        s, t = ours[:, c], theirs[:, c]
        s = (s - s.mean()) / s.std(correction=0)
        x[:, c] = s * t.std(correction=0) + t.mean()
    x = x.relu()
    for layer in getattr(head, tower)[depth:]:
        x = layer(x)
    return getattr(head, last)(x)


@pytest.mark.parametrize('depth', [1, 2])
@pytest.mark.parametrize('family', HEADS)
def test_crossed_logits_layer_by_layer(tmp_path, family, depth):
    model = build(tmp_path, family, losses=CLASS, depth=depth)
    _, seen, data = step(model)
    student, teacher = model.student, model.teacher.model
    expected, own = [], []
    with torch.no_grad():
        student.eval()
        inputs = data['inputs']
        for ours, theirs in zip(
            student.extract_feat(inputs), teacher.extract_feat(inputs)
        ):
            s = before_activation(student.bbox_head, 'cls_convs', ours, depth)
            t = before_activation(
                teacher.bbox_head, 'cls_convs', theirs, depth
            )
            last = LAYERS[family][0]
            head = teacher.bbox_head
            expected.append(by_hand(s, t, head, 'cls_convs', last, depth))
            own.append(by_hand(t, t, head, 'cls_convs', last, depth))
    for field, maps in (('cross', expected), ('teacher', own)):
        rows = torch.cat([m.permute(0, 2, 3, 1).reshape(-1, 6) for m in maps])
        found = seen[f'{field}_dense_logits'].detach()
        torch.testing.assert_close(found, rows, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize('family', HEADS)
def test_both_losses_train_the_towers_before_the_crossing(tmp_path, family):
    losses = ALL if family == 'gfl' else BOTH
    model = build(tmp_path, family, losses=losses)
    values, *_ = step(model)
    head = model.student.bbox_head
    towers = {
        'loss_class': head.cls_convs,
        'loss_box': head.reg_convs,
        'loss_edge': head.reg_convs,
    }
    teacher = [p.clone() for p in model.teacher.parameters()]
    for name in losses:
        value = values[f'dense.{name}']
        assert 0 < value.item() < float('inf')
        model.zero_grad()
        value.backward(retain_graph=True)
        tower = towers[name]
        assert tower[0].conv.weight.grad.abs().max() > 0
        # what follows is the teacher's
        assert tower[1].conv.weight.grad is None
        last = getattr(head, LAYERS[family][name != 'loss_class'])
        assert last.weight.grad is None
        assert next(model.student.backbone.parameters()).grad is not None
    for before, after in zip(teacher, model.teacher.parameters()):
        assert after.grad is None and torch.equal(before, after)


@pytest.mark.parametrize('family', HEADS)
def test_a_head_that_crosses_itself(tmp_path, family):
    """The teacher's own features in their place give its own outputs."""
    model = build(tmp_path, family)
    head = model.teacher.model.bbox_head
    with torch.no_grad():
        maps = model.teacher.extract_feat(torch.randn(2, 3, *SIZE))
        crossing = {
            kind: [before_activation(head, tower, level, 1) for level in maps]
            for kind, tower in (('class', 'cls_convs'), ('box', 'reg_convs'))
        }
        crossed = model.distill['dense']._run(maps, crossing)
        for ours, theirs in zip(crossed[:2], head(maps)[:2]):
            for a, b in zip(ours, theirs, strict=True):
                torch.testing.assert_close(a, b)


def centres(size, stride):
    return [
        (j * stride, i * stride)
        for i in range(size[0])
        for j in range(size[1])
    ]


def test_boxes_of_gfl_by_hand(tmp_path):
    """The mean distance of each edge, in strides, from the anchor's centre."""
    model = build(tmp_path, 'gfl', losses=ALL)
    _, seen, _ = step(model)
    corners = seen['teacher_dense_corners'].detach().double().numpy()
    boxes = seen['teacher_dense_boxes'].detach().double().numpy()
    row = 0
    for stride in model.distill['dense'].theirs.strides:
        size = -(-SIZE[0] // stride), -(-SIZE[1] // stride)
        for _ in range(2):  # images
            for x, y in centres(size, stride):
                p = np.exp(corners[row] - corners[row].max(1, keepdims=True))
                p = p / p.sum(1, keepdims=True)
                left, top, right, bottom = (p @ np.arange(p.shape[1])) * stride
                expected = x - left, y - top, x + right, y + bottom
                np.testing.assert_allclose(boxes[row], expected, atol=1e-2)
                row += 1
    assert row == len(boxes)


def test_boxes_of_fcos_by_hand(tmp_path):
    model = build(tmp_path, 'fcos')
    _, seen, data = step(model)
    with torch.no_grad():
        teacher = model.teacher.model
        outputs = teacher.bbox_head(teacher.extract_feat(data['inputs']))
    expected = []
    strides = model.distill['dense'].theirs.strides
    for level, stride in zip(outputs[1], strides):
        for image in level:
            for i in range(level.shape[2]):
                for j in range(level.shape[3]):
                    x, y = (j + 0.5) * stride, (i + 0.5) * stride
                    left, top, right, bottom = image[:, i, j].tolist()
                    box = x - left, y - top, x + right, y + bottom
                    expected.append(box)
    np.testing.assert_allclose(
        seen['teacher_dense_boxes'], expected, rtol=1e-4, atol=1e-3
    )


def test_towers_of_another_width(tmp_path):
    narrow = tiny_detector('gfl')
    narrow['bbox_head'] = dict(
        narrow['bbox_head'],
        feat_channels=8,
        norm_cfg=dict(type='GN', num_groups=2),
    )
    model = build(tmp_path, narrow, 'gfl')
    connectors = model.distill['dense'].connectors
    assert {*connectors} == {'student_class_maps', 'student_box_maps'}
    values, *_ = step(model)
    sum(values[f'dense.{name}'] for name in BOTH).backward()
    for connector in connectors.values():
        for layer in connector.levels:
            assert layer.weight.shape[:2] == (16, 8)
            assert layer.weight.grad.abs().max() > 0


def test_box_towers_are_left_out_where_nobody_asks(tmp_path):
    model = build(tmp_path, losses=CLASS)
    assert model.distill['dense'].kinds == ['class']
    values, seen, _ = step(model)
    assert values['dense.loss_class'] > 0
    assert 'cross_dense_boxes' not in seen


def test_the_default_depth_is_the_last_but_one(tmp_path):
    model = build(tmp_path, depth=None)  # of two layers
    assert model.distill['dense'].towers == {
        'class': 'bbox_head.cls_convs.0',
        'box': 'bbox_head.reg_convs.0',
    }


def test_layers_before_the_crossing_run_once_per_level(tmp_path):
    model = build(tmp_path, depth=2)
    tower = model.teacher.model.bbox_head.cls_convs
    calls = []
    handles = [
        layer.register_forward_hook(lambda m, *_: calls.append(m))
        for layer in tower
    ]
    layers = [*tower]
    step(model)
    for handle in handles:
        handle.remove()
    levels = len(model.distill['dense'].theirs.strides)
    assert [calls.count(layer) for layer in layers] == [levels, levels]
    assert all(a is b for a, b in zip(layers, tower, strict=True))


def test_no_hook_is_left(tmp_path):
    model = build(tmp_path)
    step(model)
    for network in (model.student, model.teacher.model):
        for module in network.modules():
            assert not module._forward_pre_hooks
            assert not module._forward_hooks


def test_the_task_losses_are_those_of_the_student_alone(tmp_path):
    model = build(tmp_path)
    data = model.data_preprocessor(tiny_batch(model, size=SIZE), True)
    state = torch.get_rng_state()
    values, *_ = step(model, data)
    torch.set_rng_state(state)
    alone = model.student(**copy.deepcopy(data), mode='loss')
    for key, value in alone.items():
        ours = values[key]
        pairs = [(ours, value)] if torch.is_tensor(value) else zip(ours, value)
        assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize(
    'family, kwargs, message',
    [
        (
            'gfl',
            dict(depth=3),
            'depth=3, but the .* has 2 layers in cls_convs',
        ),
        ('gfl', dict(depth=0), 'CrossHeadDistiller: depth=0; an integer, 1'),
        ('rtmdet', {}, 'RTMDet.* has no layers in cls_convs that all levels'),
        ('faster_rcnn', {}, 'reads the head of a one-stage detector'),
        (
            'fcos',
            dict(losses=ALL),
            'cross_dense_corners, .* FCOSHead predicts',
        ),
        (
            'gfl',
            dict(
                losses=dict(loss_kd=dict(type='DenseKDLoss')),
                connectors=dict(student_box_maps=dict(type='ConvAdaptor')),
            ),
            "connectors has 'student_box_maps', but no loss",
        ),
    ],
)
def test_refusals(tmp_path, family, kwargs, message):
    with pytest.raises(UserError, match=message):
        build(tmp_path, family, **kwargs)
