"""FeatureDistiller between detectors that were not meant for each other."""

import copy
import re
from types import SimpleNamespace

import pytest
import torch
from mmengine.registry import init_default_scope
from torch import nn

from kd_det.distillers.levels import Level, levels_at, match_levels, table
from kd_det.errors import UserError
from kd_det.masks import crop_to_common
from kd_det.models.spec import read_spec
from kd_det.registry import MODELS
from kd_det.testing import tiny_batch, tiny_detector, tiny_pair

KD = dict(loss_kd=dict(type='KDLoss'))
PKD = dict(loss_pkd=dict(type='PKDLoss'))
REVIEW = dict(loss_review=dict(type='ReviewKDLoss'))


def build(folder, student, teacher, losses=PKD, **kwargs):
    init_default_scope('mmdet')
    feats = dict(type='FeatureDistiller', losses=losses, **kwargs)
    cfg = tiny_pair(
        folder,
        student=student,
        teacher=teacher,
        distillers=dict(feats=feats),
    )
    torch.manual_seed(0)
    model = MODELS.build(cfg)
    model.init_weights()
    return model.train()


def knowledge_of(model, data):
    seen = {}
    handle = model.distill['feats'].register_forward_pre_hook(
        lambda _, args: seen.update(args[0])
    )
    losses = model(**copy.deepcopy(data), mode='loss')
    handle.remove()
    return losses, seen


@pytest.mark.parametrize(
    'student, teacher',
    [('faster_rcnn', 'retinanet'), ('retinanet', 'faster_rcnn')],
)
def test_levels_of_one_stride(tmp_path, student, teacher):
    model = build(tmp_path, student, teacher)
    sides = [
        levels_at(network, {'neck': 'neck'})
        for network in (model.student, model.teacher.model)
    ]
    printed = table(*sides, model.distill['feats'].levels)
    assert printed.count('left out') == 2
    assert printed.count('stride 8') == 2
    data = model.data_preprocessor(tiny_batch(model, size=(128, 128)), True)
    losses, seen = knowledge_of(model, data)
    for side in ('student', 'teacher'):
        widths = [m.shape[-1] for m in seen[f'{side}_feats']]
        assert widths == [16, 8, 4, 2]  # strides 8 to 64
    assert losses['feats.loss_pkd'] > 0
    with torch.no_grad():
        maps = model.teacher.extract_feat(data['inputs'])
    by_width = {m.shape[-1]: m for m in maps}
    for level in seen['teacher_feats']:
        assert torch.equal(level, by_width[level.shape[-1]])


def narrow_spec():
    spec = tiny_detector('retinanet')
    spec['neck'] = dict(spec['neck'], out_channels=8)
    spec['bbox_head'] = dict(spec['bbox_head'], in_channels=8)
    return spec


def test_a_connector_where_the_necks_differ(tmp_path):
    model = build(tmp_path, narrow_spec(), 'retinanet')
    connector = model.distill['feats'].connectors['student_feats']
    assert connector.in_channels == [8] * 5
    assert connector.out_channels == [16] * 5
    data = model.data_preprocessor(tiny_batch(model), True)
    losses, _ = knowledge_of(model, data)
    losses['feats.loss_pkd'].backward()
    assert all(p.grad is not None for p in connector.parameters())
    assert any(key.startswith('distill.') for key in model.state_dict())


def test_no_connector_where_they_agree(tmp_path):
    model = build(tmp_path, 'retinanet', 'retinanet')
    assert not model.distill['feats'].connectors


@pytest.mark.parametrize('losses', [PKD, REVIEW])
def test_padding_does_not_count(tmp_path, losses):
    """Whatever the maps hold beyond the images, the loss is the same."""
    model = build(tmp_path, 'retinanet', 'retinanet', losses)
    batch = tiny_batch(model, size=(128, 128))
    small = tiny_batch(model, num_images=1, size=(64, 64), seed=1)
    for key in ('inputs', 'data_samples'):
        batch[key][1] = small[key][0]
    data = model.data_preprocessor(batch, True)
    _, seen = knowledge_of(model, data)
    distiller = model.distill['feats']
    (name,) = distiller.losses
    before = distiller(distiller.connect(seen))[name]
    noisy = {key: [*maps] for key, maps in seen.items()}
    for side in ('student_feats', 'teacher_feats'):
        for level, maps in enumerate(noisy[side]):
            maps = maps.clone()
            edge = maps.shape[-1] // 2
            if edge:
                maps[1, :, edge:] = 100
                maps[1, :, :, edge:] = -100
            noisy[side][level] = maps
    after = distiller(distiller.connect(noisy))[name]
    # the level of one cell has no padding: its only cell touches the image
    torch.testing.assert_close(after, before)
    inside = seen['student_feats'][0].clone()
    inside[1, :, 0, 0] += 1
    noisy['student_feats'][0] = inside
    assert distiller(distiller.connect(noisy))[name] != before


def test_pkd_with_a_mask_is_pkd_of_what_is_left(tmp_path):
    from kd_det.functional import pkd_loss
    from kd_det.losses import PKDLoss

    generator = torch.Generator().manual_seed(0)
    s, t = torch.randn(2, 2, 3, 4, 6, generator=generator)
    mask = torch.zeros(2, 1, 4, 6, dtype=torch.bool)
    mask[0], mask[1, :, :2, :3] = True, True
    rows = mask[:, 0].flatten()
    left = [
        x.permute(0, 2, 3, 1).reshape(-1, 3)[rows].T[None, :, :, None]
        for x in (s, t)
    ]
    torch.testing.assert_close(PKDLoss()((s,), (t,), (mask,)), pkd_loss(*left))


def test_the_encoder_of_a_detr(tmp_path):
    taps = dict(student=['encoder'], teacher=['encoder'])
    model = build(tmp_path, 'detr', 'detr', taps=taps)
    data = model.data_preprocessor(tiny_batch(model, size=(128, 128)), True)
    memory = []
    handle = model.student.encoder.register_forward_hook(
        lambda _, args, out: memory.append(out)
    )
    losses, seen = knowledge_of(model, data)
    handle.remove()
    (maps,) = seen['student_feats']
    assert maps.shape[2:] == (4, 4)
    assert torch.equal(maps.flatten(2).transpose(1, 2), memory[0])
    losses['feats.loss_pkd'].backward()
    assert seen['teacher_feats'][0].shape == maps.shape


def test_levels_and_what_cannot_be_matched(tmp_path):
    init_default_scope('mmdet')
    network = MODELS.build(read_spec(tiny_detector('fcos'), 'student')[0])
    neck = levels_at(network, {'neck': 'neck'})
    assert [level.stride for level in neck] == [8, 16, 32, 64, 128]
    stem = levels_at(network, {'stem': 'backbone.layer1'})
    with pytest.raises(UserError, match=r'\(4,\).*\(8, 16.*none in common'):
        match_levels(stem, neck)
    with pytest.raises(UserError, match='records nothing'):
        levels_at(network, {'head': 'bbox_head'})


def deep_spec(levels, depth):
    """A RetinaNet of more levels than usual."""
    spec = tiny_detector('retinanet', depth)
    spec['neck'] = dict(spec['neck'], num_outs=levels)
    strides = [8 * 2**i for i in range(levels)]
    spec['bbox_head'] = dict(
        spec['bbox_head'], anchor_generator=dict(strides=strides)
    )
    return spec


@pytest.mark.parametrize('ours, theirs', [(5, 7), (7, 5), (6, 6)])
def test_strides_above_that_of_one_cell(tmp_path, ours, theirs):
    init_default_scope('mmdet')
    dense = dict(
        type='DenseDistiller', losses=dict(loss_kd=dict(type='DenseKDLoss'))
    )
    feats = dict(type='FeatureDistiller', losses=PKD)
    model = MODELS.build(
        tiny_pair(
            tmp_path,
            student=deep_spec(ours, 18),
            teacher=deep_spec(theirs, 50),
            distillers=dict(feats=feats, dense=dense),
        )
    ).train()
    expected = [(i, i) for i in range(min(ours, theirs))]
    assert model.distill['feats'].levels == expected
    assert model.distill['dense'].levels == expected
    assert model.distill['dense'].ours.strides == tuple(
        8 * 2**i for i in range(ours)
    )
    assert not model.distill['feats'].connectors  # as wide on both sides
    batch = tiny_batch(model, 1, size=(256, 512))
    losses, seen = knowledge_of(model, model.data_preprocessor(batch, True))
    widths = [m.shape[-1] for m in seen['teacher_feats']]
    assert widths == [64, 32, 16, 8, 4, 2][: min(ours, theirs)]
    assert losses['dense.loss_kd'] > 0


def test_two_levels_of_one_stride():
    levels = [Level(4, (8, 8)), Level(4, (4, 4)), Level(4, (4, 4))]
    with pytest.raises(UserError, match=r"student's.*\(16, 32, 32\): two"):
        match_levels(levels, levels[:2])
    with pytest.raises(UserError, match=r"teacher's.*\(16, 32, 32\): two"):
        match_levels(levels[:2], levels)


class Picky(nn.Module):
    """A network for images of 200 pixels a side and more."""

    def __init__(self):
        super().__init__()
        self.neck = nn.Conv2d(3, 2, 200, stride=20)

    def extract_feat(self, image):
        return self.neck(image)


def test_a_network_that_needs_a_larger_image():
    (level,) = levels_at(Picky(), {'neck': 'neck'})
    assert level == Level(2, (7, 7), 320)


@pytest.mark.parametrize('colours', [1, 3])
def test_a_network_of_grey_images(colours):
    conv4 = dict(type='kd_det.Conv4', in_channels=colours, width=4)
    model = MODELS.build(
        dict(
            _scope_='mmpretrain', type='kd_det.EmbeddingModel', backbone=conv4
        )
    )
    levels = levels_at(
        model, {'0': 'backbone.blocks.0', '1': 'backbone.blocks.2'}
    )
    assert [(level.channels, level.stride) for level in levels] == [
        (4, 2),
        (4, 8),
    ]


def test_a_network_that_runs_on_no_image():
    network = Picky()
    network.neck = nn.Conv2d(4, 2, 1)
    with pytest.raises(UserError, match='student Picky fails .* 320 x 320'):
        levels_at(network, {'neck': 'neck'}, 'student')


@pytest.mark.parametrize('wrong', [[32, 64, 128, 256], [8, 16, 32]])
@pytest.mark.parametrize('kind', ['FeatureDistiller', 'DenseDistiller'])
def test_a_neck_for_another_backbone(tmp_path, wrong, kind):
    init_default_scope('mmdet')
    spec = tiny_detector('retinanet')
    spec['neck'] = dict(spec['neck'], in_channels=wrong)
    losses = PKD if kind == 'FeatureDistiller' else KD
    sentence = (
        r"The student's backbone has output channels \[8, 16, 32, 64\], "
        rf'but its neck.in_channels is {re.escape(str(wrong))}; set '
        r'student.neck.in_channels=\[8, 16, 32, 64\].$'
    )
    with pytest.raises(UserError, match=sentence):
        MODELS.build(
            tiny_pair(
                tmp_path,
                student=spec,
                teacher='retinanet',
                distillers=dict(own=dict(type=kind, losses=losses)),
            )
        )


def test_only_padding_is_cut_off():
    """Of an image of 60 x 100 pixels stride 8 has 7 or 8 x 12 or 13 cells."""
    samples = [SimpleNamespace(img_shape=(60, 100))]
    larger = torch.rand(1, 2, 12, 16)
    for height, width in ((7, 12), (8, 13)):
        theirs = torch.rand(1, 3, height, width)
        cut, kept = crop_to_common(larger, theirs, samples, 8)
        assert torch.equal(cut, larger[:, :, :height, :width])
        assert torch.equal(kept, theirs)
    for size in ((6, 13), (8, 11)):
        with pytest.raises(UserError, match=r'stride 8 is \(12, 16\), the'):
            crop_to_common(larger, torch.rand(1, 3, *size), samples, 8)
    crop_to_common(larger, larger[..., 1:, 1:], [SimpleNamespace()], 8)
    with pytest.raises(UserError, match='padding cannot explain'):
        crop_to_common(larger, larger[..., 2:], [SimpleNamespace()], 8)


TAPS = dict(student=['neck'], teacher=['neck'])


@pytest.mark.parametrize('taps', [None, TAPS])
def test_another_padding_of_the_teacher_is_cut_off(tmp_path, taps):
    spec = tiny_detector('retinanet', 50)
    spec['data_preprocessor'] = dict(pad_size_divisor=1)
    model = build(tmp_path, narrow_spec(), spec, taps=taps)
    batch = tiny_batch(model, size=(72, 104))
    data = model.data_preprocessor(batch, True)
    assert data['inputs'].shape[-2:] == (96, 128)
    losses, seen = knowledge_of(model, data)
    shapes = [m.shape[2:] for m in seen['teacher_feats']]
    assert [m.shape[2:] for m in seen['student_feats']] == shapes
    assert shapes[0] == (9, 13)
    # cut, not stretched: the connector's 1x1 convolution works cell by cell
    inputs = data['inputs']
    assert torch.equal(
        inputs[..., :72, :104], data['teacher_inputs']['teacher']
    )
    connector = model.distill['feats'].connectors['student_feats']
    with torch.no_grad():
        maps = model.student.extract_feat(inputs)
        like = [m.new_zeros(len(m), 16, *m.shape[2:]) for m in maps]
        connected = connector(maps, like)
    for cut, whole in zip(seen['student_feats'], connected):
        height, width = cut.shape[2:]
        torch.testing.assert_close(cut, whole[:, :, :height, :width])
    assert torch.isfinite(losses['feats.loss_pkd'])


def backbone_spec(**changes):
    spec = tiny_detector('faster_rcnn')
    return dict(spec, backbone=dict(spec['backbone'], **changes))


def taps_at(*points):
    return dict(student=[*points], teacher=[*points])


@pytest.mark.parametrize(
    'changes, point',
    [
        (dict(frozen_stages=1), 'backbone.layer1'),
        (dict(with_cp=True), 'backbone.layer3.1.conv2'),
    ],
)
def test_no_gradient_to_the_student(tmp_path, changes, point):
    """An AlignConnector's own weights would hide it."""
    model = build(
        tmp_path, backbone_spec(**changes), 'faster_rcnn', taps=taps_at(point)
    )
    connected = 'student_feats' in model.distill['feats'].connectors
    assert connected == (point == 'backbone.layer1')
    data = model.data_preprocessor(tiny_batch(model), True)
    with pytest.raises(UserError, match='distillers.feats: no gradient of '):
        model(**copy.deepcopy(data), mode='loss')
    with torch.no_grad():  # nobody learns
        model(**copy.deepcopy(data), mode='loss')
    model.student.requires_grad_(False)  # nor here
    losses = model(**copy.deepcopy(data), mode='loss')
    assert losses['feats.loss_pkd'] > 0


def test_a_gradient_through_some_levels_is_enough(tmp_path):
    model = build(
        tmp_path,
        backbone_spec(frozen_stages=1),
        'faster_rcnn',
        taps=taps_at('backbone.layer1', 'backbone.layer2'),
    )
    data = model.data_preprocessor(tiny_batch(model), True)
    assert model(**data, mode='loss')['feats.loss_pkd'].requires_grad


@pytest.mark.parametrize('family', ['faster_rcnn', 'gfl'])
def test_images_without_objects_come_first(tmp_path, family):
    """Their fields are empty, which is no reason to stop."""
    kind = 'DenseDistiller' if family == 'gfl' else 'RoIDistiller'
    sdd = dict(type='SDDLoss', base=dict(type='KDLoss'))
    losses = dict(loss_sdd=sdd, loss_kd=dict(type='KDLoss'))
    init_default_scope('mmdet')
    model = MODELS.build(
        tiny_pair(
            tmp_path,
            student=family,
            teacher=family,
            distillers=dict(head=dict(type=kind, losses=losses)),
        )
    ).train()
    batch = tiny_batch(model, without_objects=(0, 1))
    data = model.data_preprocessor(batch, True)
    losses = model(**data, mode='loss')
    assert torch.isfinite(losses['head.loss_sdd'])
