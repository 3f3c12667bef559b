"""FeatureDistiller on the encoder of a Deformable DETR, several levels."""

import pytest
import torch
from mmengine.registry import init_default_scope

from kd_det.errors import UserError
from kd_det.registry import MODELS
from kd_det.testing import tiny_batch, tiny_detector, tiny_pair

WIDTH = 16
ENCODER = dict(student=['encoder'], teacher=['encoder'])


def deformable(depth=18):
    return tiny_detector('deformable_detr', depth)


def build(folder, teacher):
    init_default_scope('mmdet')
    feats = dict(
        type='FeatureDistiller',
        losses=dict(loss_pkd=dict(type='PKDLoss')),
        taps=ENCODER,
    )
    torch.manual_seed(0)
    model = MODELS.build(
        tiny_pair(
            folder,
            student=deformable(),
            teacher=teacher,
            distillers=dict(feats=feats),
        )
    )
    model.init_weights()
    return model.train()


def test_memory_is_maps_again(tmp_path):
    """Also of a batch of two sizes, whose padding is marked."""
    model = build(tmp_path, deformable(50))
    batch = tiny_batch(model, size=(64, 96))
    small = tiny_batch(model, num_images=1, size=(64, 64), seed=1)
    for key in ('inputs', 'data_samples'):
        batch[key][1] = small[key][0]
    memory, seen = [], {}
    networks = model.student, model.teacher.model
    handles = [
        network.encoder.register_forward_hook(
            lambda _, args, out: memory.append(out)
        )
        for network in networks
    ]
    handles.append(
        model.distill['feats'].register_forward_pre_hook(
            lambda _, args: seen.update(args[0])
        )
    )
    losses = model(**model.data_preprocessor(batch, True), mode='loss')
    for handle in handles:
        handle.remove()
    assert len(memory) == 2  # each encoder runs once
    sizes = [(8, 12), (4, 6), (2, 3), (1, 2)]
    for side, tokens in zip(('student', 'teacher'), memory, strict=True):
        start = 0
        for level, size in zip(seen[f'{side}_feats'], sizes, strict=True):
            assert level.shape == (2, WIDTH, *size)
            for image, width in enumerate((size[1], size[1] * 2 // 3)):
                for y in range(size[0]):
                    for x in range(size[1]):
                        token = tokens[image, start + y * size[1] + x]
                        got = level[image, :, y, x]
                        if x < width:
                            assert torch.equal(got, token)
                        else:
                            assert not got.any()
            start += size[0] * size[1]
        assert start == tokens.shape[1]
    losses['feats.loss_pkd'].backward()
    layer = model.student.encoder.layers[0]
    grads = [p.grad for p in layer.parameters()]
    assert all(torch.isfinite(g).all() for g in grads if g is not None)
    assert any(g is not None and g.any() for g in grads)


def test_another_number_of_levels_is_refused(tmp_path):
    with pytest.raises(UserError, match='student has 4 maps.* teacher 1'):
        build(tmp_path, 'detr')
