"""FactorDistiller: halves, factors and margins, read of small networks."""

import copy
import os
import shutil
from pathlib import Path

import pytest
import torch
from ie_toy import EXPLORE, INHERIT, POINT, batch, build, pair
from mmengine.registry import init_default_scope
from torch import nn

from kd_det.connectors.autoencoder_file import save_auto_encoder
from kd_det.errors import UserError
from kd_det.functional import (
    exploration_loss,
    factor_transfer_loss,
    inheritance_loss,
    ofd_margin,
)
from kd_det.registry import MODELS
from kd_det.taps import FeatureTap
from kd_det.testing import tiny_batch, tiny_pair

FT = dict(loss_ft=dict(type='FactorTransferLoss'))
OFD = dict(type='OFDLoss', loss_weight=0.001)
BEFORE = [f'backbone.layer{n}.relu:input' for n in (1, 2, 3)]


def with_auto_encoder(model, name='factor'):
    """Give a distiller an auto-encoder with statistics worth keeping."""
    distiller = model.distill[name]
    torch.manual_seed(3)
    auto_encoder = distiller.new_auto_encoder()
    for module in auto_encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
    distiller.set_auto_encoder(auto_encoder)
    return auto_encoder


def losses_of(model, data=None):
    data = model.data_preprocessor(copy.deepcopy(data or batch()), True)
    return model(**data, mode='loss')


def maps_by_hand(model, data):
    """The last maps of both networks, in the modes they are in."""
    data = model.data_preprocessor(copy.deepcopy(data), True)
    with torch.no_grad():
        (ours,) = model.student.backbone(data['inputs'])
        (theirs,) = model.teacher.model.backbone(data['inputs'])
    return ours, theirs


def test_factors_by_hand(tmp_path):
    model = build(pair(tmp_path))
    auto_encoder = with_auto_encoder(model)
    losses = losses_of(model)
    ours, theirs = maps_by_hand(model, batch())
    assert (ours.shape[1], theirs.shape[1]) == (8, 12)
    coders = {
        name: module.coders[0]
        for name, module in model.distill.factor.encoders.items()
    }
    with torch.no_grad():
        target = auto_encoder.encoder.coders[0](theirs)
        inherit = coders['student_inherit_factors'](ours[:, :4])
        explore = coders['student_explore_factors'](ours[:, 4:])
    torch.testing.assert_close(
        losses['factor.loss_inh'], 50 * inheritance_loss(inherit, target)
    )
    torch.testing.assert_close(
        losses['factor.loss_exp'], 50 * exploration_loss(explore, target)
    )
    assert losses['factor.loss_exp'] < 0 < losses['factor.loss_inh']


def test_translator_sees_all_channels(tmp_path):
    cfg = pair(tmp_path, FT, auto_encoder='none.pth', norm=False)
    model = build(cfg)
    auto_encoder = with_auto_encoder(model)
    losses = losses_of(model)
    ours, theirs = maps_by_hand(model, batch())
    translator = model.distill.factor.encoders.student_factors.coders[0]
    with torch.no_grad():
        expected = factor_transfer_loss(
            translator(ours), auto_encoder.encoder.coders[0](theirs)
        ).mean()
    torch.testing.assert_close(losses['factor.loss_ft'], expected)
    assert not hasattr(model.distill.factor, 'split')


def test_a_step_leaves_teacher_and_auto_encoder_as_they_are(tmp_path):
    """And reaches every encoder and the student's channels of both halves."""
    model = build(pair(tmp_path))
    auto_encoder = with_auto_encoder(model)
    held = [auto_encoder, model.teacher]
    before = [copy.deepcopy(m.state_dict()) for m in held]
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    losses = losses_of(model)
    sum(v for k, v in losses.items() if 'factor' in k).backward()
    for name, value in model.distill.named_parameters():
        assert value.grad.abs().sum() > 0, name
    last = model.student.backbone.layer3[0].bn2.weight.grad
    assert (last[:4].abs().sum() > 0) and (last[4:].abs().sum() > 0)
    optimizer.step()
    for module, state in zip(held, before):
        for key, value in module.state_dict().items():
            assert torch.equal(value, state[key]), key
        assert all(p.grad is None for p in module.parameters())
    assert not any('auto_encoder' in key for key in model.state_dict())


@pytest.mark.parametrize('losses', [FT, None])
def test_frozen_layers_are_told(tmp_path, losses):
    """The weights of an encoder do not hide that nothing is taught."""
    model = build(pair(tmp_path, losses, auto_encoder='none.pth'))
    with_auto_encoder(model)
    model.student.backbone.requires_grad_(False)
    with pytest.raises(UserError, match='no gradient of loss_.*factors'):
        losses_of(model)


@pytest.mark.parametrize('order', ['natural', 'random'])
def test_checkpoint_remembers_the_split(tmp_path, order):
    cfg = pair(tmp_path, split=dict(ratio=0.25, order=order))
    one, other = build(cfg, seed=0), build(cfg, seed=1)
    same = one.distill.factor.split.inherit0.tolist() == (
        other.distill.factor.split.inherit0.tolist()
    )
    assert same == (order == 'natural')
    other.load_state_dict(one.state_dict())
    for half in ('inherit0', 'explore0'):
        assert torch.equal(
            getattr(one.distill.factor.split, half),
            getattr(other.distill.factor.split, half),
        )
    assert len(one.distill.factor.split.inherit0) == 2
    # what it writes is a checkpoint of the plain student
    plain = {
        k: v
        for k, v in one.state_dict().items()
        if not k.startswith('distill.')
    }
    copy.deepcopy(other.student).load_state_dict(plain, strict=True)


def test_student_is_that_of_plain_training(tmp_path):
    """Random split, encoders and auto-encoder draw apart."""
    cfg = pair(tmp_path, split=dict(order='random'))
    model = build(cfg)
    torch.manual_seed(0)
    plain = MODELS.build(copy.deepcopy(cfg.student))
    plain.init_weights()
    for key, value in plain.state_dict().items():
        assert torch.equal(value, model.student.state_dict()[key])


def test_halves_for_losses_on_maps(tmp_path):
    at = dict(type='AttentionTransferLoss')
    losses = dict(
        loss_inh=dict(type='InheritMapLoss', base=at),
        loss_exp=dict(type='ExploreMapLoss', base=at),
        loss_at=at,
    )
    model = build(pair(tmp_path, losses))
    assert not [*model.distill.factor.encoders]
    found = losses_of(model)
    assert found['factor.loss_exp'] < 0 < found['factor.loss_inh']


def test_margins_are_of_the_last_batch_norm(tmp_path):
    adaptor = dict(type='ConvAdaptor', relu=False)
    cfg = pair(
        tmp_path,
        dict(
            loss_ofd=OFD,
            loss_inh=dict(type='InheritMapLoss', base=OFD),
            loss_exp=dict(type='ExploreMapLoss', base=OFD, bound=1.0),
        ),
        taps=dict(student=BEFORE, teacher=BEFORE),
        connectors=dict.fromkeys(
            (
                'student_feats',
                'student_inherit_feats',
                'student_explore_feats',
            ),
            adaptor,
        ),
    )
    path = cfg.teacher.ckpt
    checkpoint = torch.load(path, weights_only=False)
    torch.manual_seed(5)
    for key, value in checkpoint['state_dict'].items():
        if '.bn' in key and key.endswith(('weight', 'bias')):
            value.normal_()
    torch.save(checkpoint, path)
    cfg.teacher.backbone.shortcut = cfg.student.backbone.shortcut = 'pad'
    state = checkpoint['state_dict']
    for key in [k for k in state if 'downsample' in k]:
        del state[key]
    torch.save(checkpoint, path)
    model = build(cfg)
    distiller = model.distill.factor
    for level, stage in enumerate((1, 2, 3)):  # read before they are folded
        name = f'backbone.layer{stage}.0.bn2'
        expected = ofd_margin(state[f'{name}.weight'], state[f'{name}.bias'])
        assert torch.equal(getattr(distiller, f'margin{level}'), expected)
    connector = distiller.connectors['student_inherit_feats']
    assert (connector.in_channels, connector.out_channels) == (
        [2, 2, 4],
        [4, 8, 12],
    )
    found = losses_of(model)
    assert found['factor.loss_ofd'] > 0 and found['factor.loss_inh'] > 0
    assert -1 <= found['factor.loss_exp'] < 0
    # names instead: the first norms of the blocks
    cfg.distillers.factor.norms = [
        f'backbone.layer{n}.0.bn1' for n in (1, 2, 3)
    ]
    named = build(cfg).distill.factor
    name = 'backbone.layer1.0.bn1'
    expected = ofd_margin(state[f'{name}.weight'], state[f'{name}.bias'])
    assert torch.equal(named.margin0, expected)


def test_margins_need_batch_norms(tmp_path):
    cfg = pair(tmp_path, dict(loss_ofd=OFD))
    cfg.teacher.fuse_conv_bn = True
    with pytest.raises(UserError, match='do not use fuse_conv_bn'):
        build(cfg)


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(auto_encoder=None), 'auto_encoder is not set'),
        (dict(channels=[4, 4]), 'one per level'),
        (dict(channels=0), 'above 0'),
        (dict(channels=True), 'above 0'),
        (dict(channels=2.0), 'above 0'),
        (dict(auto_encoder=True), 'is no text'),
        (dict(auto_encoder='.'), 'is a folder'),
        (dict(split=0.5), "a dict with 'ratio' and 'order'"),
        (dict(split=dict(ration=0.5)), "a dict with 'ratio' and 'order'"),
        (dict(split=dict(ratio=0.0)), 'leaves student_inherit_feats none'),
        (dict(split=dict(ratio=1)), 'leaves student_explore_feats none'),
        (dict(split=dict(ratio=2)), 'from 0 .all explore. to 1'),
        (
            dict(
                connectors=dict(
                    student_inherit_factors=dict(type='ConvAdaptor')
                )
            ),
            'which an encoder computes',
        ),
    ],
)
def test_refusals(tmp_path, change, message):
    with pytest.raises(UserError, match=message):
        build(pair(tmp_path, **change))


def test_all_may_inherit(tmp_path):
    cfg = pair(
        tmp_path,
        dict(loss_inh=INHERIT),
        auto_encoder='none.pth',
        split=dict(ratio=1),
    )
    model = build(cfg)
    with_auto_encoder(model)
    assert losses_of(model)['factor.loss_inh'] > 0


def test_stage_2_alone_refuses_a_missing_auto_encoder(tmp_path):
    model = build(pair(tmp_path))
    with pytest.raises(UserError, match='does not exist: train it'):
        losses_of(model)


@pytest.mark.parametrize(
    'key, value, message',
    [
        ('teacher_sha256', 'abc', 'another teacher checkpoint'),
        ('points', ['backbone.layer2'], 'other tap points'),
        ('in_channels', [64], 'maps with other channels'),
        ('channels', [5], 'factors with other channels'),
        ('norm', False, 'other layers'),
    ],
)
def test_stage_2_refuses_another_auto_encoder(tmp_path, key, value, message):
    cfg = pair(tmp_path)
    model = build(cfg)
    distiller = model.distill.factor
    file = distiller.auto_encoder_file
    right = distiller.identity()
    assert right['points'] == [POINT]
    save_auto_encoder(file, distiller.new_auto_encoder(), right)
    assert build(cfg).distill.factor.auto_encoder is not None
    wrong = dict(right, **{key: value})
    save_auto_encoder(file, distiller.new_auto_encoder(), wrong)
    with pytest.raises(UserError, match=message):
        build(cfg)


def test_stage_2_refuses_what_is_no_auto_encoder(tmp_path):
    cfg = pair(tmp_path)
    distiller = build(cfg).distill.factor
    file = Path(distiller.auto_encoder_file)
    save_auto_encoder(file, distiller.new_auto_encoder(), distiller.identity())
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="'.*ae.pth'"):
        build(cfg)
    shutil.copy(tmp_path / 'teacher.pth', file)
    with pytest.raises(UserError, match='contains no auto-encoder'):
        build(cfg)
    for wrong in (dict(state_dict=[1]), dict(provenance=[1])):
        content = dict(state_dict={}, provenance=distiller.identity())
        torch.save(content | wrong, file)
        with pytest.raises(UserError, match='contains no auto-encoder'):
            build(cfg)
    broken = distiller.new_auto_encoder()
    broken.encoder.coders[0].norms[0].running_var.fill_(float('nan'))
    save_auto_encoder(file, broken, distiller.identity())
    with pytest.raises(UserError, match='contains NaN or infinity; delete it'):
        build(cfg)
    odd = nn.Linear(1, 1)
    save_auto_encoder(file, odd, distiller.identity())
    with pytest.raises(UserError, match='weights that do not match its'):
        build(cfg)


class Harmful:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_code_in_the_place_of_an_auto_encoder_does_not_run(tmp_path):
    cfg = pair(tmp_path)
    distiller = build(cfg).distill.factor
    content = dict(state_dict={}, provenance=distiller.identity())
    content['state_dict']['x'] = Harmful(tmp_path / 'harm')
    torch.save(content, distiller.auto_encoder_file)
    with pytest.raises(UserError, match='could run code'):
        build(cfg)
    assert not (tmp_path / 'harm').exists()


@torch.autocast('cpu', dtype=torch.bfloat16)
def step_in_mixed_precision(model):
    return losses_of(model)


def test_mixed_precision(tmp_path):
    model = build(pair(tmp_path))
    with_auto_encoder(model)
    single, mixed = losses_of(model), step_in_mixed_precision(model)
    for key in ('factor.loss_inh', 'factor.loss_exp'):
        assert mixed[key].dtype == torch.float32
        assert torch.isclose(mixed[key], single[key], rtol=0.05)
    sum(mixed.values()).backward()
    for name, value in model.named_parameters():
        assert torch.isfinite(value.grad).all(), name


def test_auto_encoder_follows_the_pair(tmp_path):
    model = build(pair(tmp_path))
    with_auto_encoder(model)
    model.to(torch.float64)
    weight = model.distill.factor.auto_encoder.encoder.coders[0].convs[0]
    assert weight.weight.dtype == torch.float64
    assert not weight.weight.requires_grad
    model.train()
    assert not model.distill.factor.auto_encoder.training


def detector_pair(folder, **kwargs):
    init_default_scope('mmdet')
    factor = dict(
        type='FactorDistiller',
        channels=4,
        auto_encoder='none.pth',
        losses=dict(
            loss_inh=dict(INHERIT, p='cos'), loss_exp=dict(EXPLORE, p='cos')
        ),
    )
    cfg = tiny_pair(folder, distillers=dict(factor=dict(factor, **kwargs)))
    torch.manual_seed(0)
    model = MODELS.build(cfg)
    model.init_weights()
    return model.train()


@pytest.mark.parametrize('shared', [False, True])
def test_levels_of_a_detector(tmp_path, shared):
    model = detector_pair(tmp_path, shared=shared)
    auto_encoder = with_auto_encoder(model)
    distiller = model.distill.factor
    levels = len(distiller.levels)
    assert levels > 2
    assert len(auto_encoder.encoder.coders) == (1 if shared else levels)
    data = model.data_preprocessor(tiny_batch(model), True)
    losses = model(**data, mode='loss')
    assert losses['factor.loss_inh'] > 0 and losses['factor.loss_exp'] > 0
    assert 'loss_rpn_cls' in losses


def test_padding_of_a_detector_changes_nothing(tmp_path):
    """The teacher's factors of an image alone, and of it in a larger batch."""
    model = detector_pair(tmp_path)
    with_auto_encoder(model)
    distiller = model.distill.factor
    data = model.data_preprocessor(tiny_batch(model, size=(64, 64)), True)
    image, sample = data['inputs'][:1], data['data_samples'][:1]

    def factors(pad, fill):
        wide = torch.full((1, 3, 64 + pad, 64 + pad), fill)
        wide[..., :64, :64] = image
        own = copy.deepcopy(sample)
        own[0].set_metainfo(dict(batch_input_shape=wide.shape[2:]))
        maps, masks = distiller.teacher_maps(wide, own)
        return maps, masks, distiller.auto_encoder.encoder(maps, masks)

    maps, masks, found = factors(64, 0.0)
    for level, mask, factor in zip(maps, masks, found):
        inner = mask.expand_as(factor)
        assert (factor[~inner] == 0).all()
        assert (level[~mask.expand_as(level)] == 0).all()
        # of the same valid cells, whatever lies around them
        cells = mask[0, 0].any(0).sum(), mask[0, 0].any(1).sum()
        alone = level[..., : cells[1], : cells[0]]
        place = [m is level for m in maps].index(True)
        coder = distiller.auto_encoder.encoder.coders[place]
        torch.testing.assert_close(
            factor[..., : cells[1], : cells[0]], coder(alone)
        )


def test_losses_do_not_count_padding_in_training(tmp_path):
    """From the maps on: what lies in padding, and how much there is."""
    model = detector_pair(
        tmp_path,
        losses=dict(
            loss_inh=INHERIT,
            loss_exp=dict(EXPLORE, p=2),
            loss_ft=FT['loss_ft'],
        ),
    )
    with_auto_encoder(model)
    distiller = model.distill.factor.double()
    ours, theirs = distiller._channels
    torch.manual_seed(0)
    inner = [
        [torch.randn(2, c, 4, 3, dtype=torch.double) for c in side]
        for side in (ours, theirs)
    ]

    def losses(height, width, fill):
        mask = torch.zeros(2, 1, height, width, dtype=torch.bool)
        mask[..., :4, :3] = True
        maps = []
        for side in inner:
            maps.append(())
            for level in side:
                wide = level.new_full((*level.shape[:2], height, width), fill)
                wide[..., :4, :3] = level
                maps[-1] += (wide,)
        own = copy.deepcopy(distiller)
        knowledge = dict(
            student_feats=maps[0],
            teacher_feats=maps[1],
            feat_masks=(mask,) * len(ours),
        )
        halves = own.split(maps[0])
        for name, half in zip(('inherit', 'explore'), halves):
            knowledge[f'student_{name}_feats'] = half
        return own(own.connect(knowledge))

    expected = losses(4, 3, 0.0)
    for size in ((5, 8, 7.0), (16, 4, float('nan'))):
        for name, value in losses(*size).items():
            torch.testing.assert_close(value, expected[name], msg=name)


@pytest.mark.parametrize('place', [0, 1])
def test_padding_of_maps_of_other_sizes(tmp_path, place):
    """The student's or the teacher's maps have four times the cells."""
    model = detector_pair(
        tmp_path, norm=False, losses=dict(loss_inh=INHERIT, **FT)
    )
    with_auto_encoder(model)
    distiller = model.distill.factor.double()
    torch.manual_seed(0)
    factor = 1 + place, 2 - place  # cells a side: student, teacher
    inner = [
        torch.randn(2, c[0], 4 * f, 2 * f, dtype=torch.double)
        for c, f in zip(distiller._channels, factor)
    ]

    def losses(height, width, fill):
        maps = []
        for level, f in zip(inner, factor):
            size = *level.shape[:2], height * f, width * f
            maps.append(level.new_full(size, fill))
            maps[-1][..., : 4 * f, : 2 * f] = level
        mask = torch.zeros(
            2, 1, height * factor[1], width * factor[1], dtype=torch.bool
        )
        mask[..., : 4 * factor[1], : 2 * factor[1]] = True
        levels = len(distiller.levels)
        knowledge = dict(
            student_feats=(maps[0],) * levels,
            teacher_feats=(maps[1],) * levels,
            feat_masks=(mask,) * levels,
        )
        halves = distiller.split(knowledge['student_feats'])
        for name, half in zip(('inherit', 'explore'), halves):
            knowledge[f'student_{name}_feats'] = half
        return distiller(distiller.connect(knowledge))

    expected = losses(4, 2, 0.0)
    for size in ((6, 2, 7.0), (8, 8, float('nan'))):
        for name, value in losses(*size).items():
            torch.testing.assert_close(value, expected[name], msg=name)


def test_points_of_a_tap_are_as_named(tmp_path):
    """The map is the one at the point, not the neck's."""
    model = build(pair(tmp_path))
    with_auto_encoder(model)
    data = model.data_preprocessor(batch(), True)
    maps, masks = model.distill.factor.teacher_maps(
        data['inputs'], data['data_samples']
    )
    with FeatureTap(model.teacher.model, dict(at=POINT)) as seen:
        model.teacher.extract_feat(data['inputs'])
    torch.testing.assert_close(maps[0], seen['at'][0])
    assert masks == (None,)
