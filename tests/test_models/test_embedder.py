"""EmbeddingModel: what it returns in each mode, and as a pair."""

import pytest
import torch
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample
from torch import nn

from kd_det.errors import UserError
from kd_det.models import EmbeddingModel
from kd_det.registry import MODELS


def cfg(**changes):
    base = dict(
        _scope_='mmpretrain',
        type='kd_det.EmbeddingModel',
        backbone=dict(type='kd_det.Conv4', width=4),
        in_channels=4,
        embed_dims=6,
        data_preprocessor=dict(mean=[0.0] * 3, std=[255.0] * 3),
    )
    return dict(base, **changes)


def build(**changes):
    torch.manual_seed(0)
    return MODELS.build(cfg(**changes))


def data(count=4, size=32):
    torch.manual_seed(1)
    images = torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8)
    samples = [DataSample().set_gt_label(i // 2) for i in range(count)]
    return dict(inputs=[*images], data_samples=samples)


def test_modes():
    model = build(loss=dict(type='kd_det.TripletLoss', mining='all')).eval()
    batch = model.data_preprocessor(data())
    embeddings = model(**batch)
    assert embeddings.shape == (4, 6)
    samples = model(**batch, mode='predict')
    for row, sample in zip(embeddings, samples):
        assert torch.equal(sample.pred_embed, row)
    assert [int(sample.gt_label) for sample in samples] == [0, 0, 1, 1]
    losses = model(**batch, mode='loss')
    labels = torch.tensor([0, 0, 1, 1])
    assert losses == dict(loss=model.task(embeddings, labels))
    with pytest.raises(UserError, match='accepted are'):
        model(**batch, mode='test')


def test_embedding_by_hand():
    model = build().eval()
    images = model.data_preprocessor(data())['inputs']
    (maps,) = model.extract_feat(images)
    by_hand = maps.mean((2, 3)) @ model.head.fc.weight.T + model.head.fc.bias
    torch.testing.assert_close(model(images), by_hand)
    unit = build(normalize=True).eval()(images)
    torch.testing.assert_close(unit, nn.functional.normalize(by_hand))


def test_cells_side_by_side_without_a_layer():
    model = build(embed_dims=None, pool=False).eval()
    images = model.data_preprocessor(data())['inputs']
    (maps,) = model.extract_feat(images)
    assert torch.equal(model(images), maps.flatten(1))


def test_without_a_loss_nothing_is_learnt_from_labels():
    model = build()
    assert model(**model.data_preprocessor(data()), mode='loss') == {}


def test_unpacked_images_give_samples_too():
    model = build().eval()
    images = model.data_preprocessor(data())['inputs']
    assert model(images, mode='predict')[3].pred_embed.shape == (6,)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_norms_are_taken_in_float32(dtype):
    head = build(normalize=True).head.to(dtype)
    out = head((torch.full((2, 4, 1, 1), 1000.0, dtype=dtype),))
    assert out.dtype == torch.float32
    torch.testing.assert_close(out.norm(dim=1), torch.ones(2))


def test_a_token_or_vector_is_taken_as_it_is():
    head = build().head
    assert head((torch.randn(3, 4),)).shape == (3, 6)


@pytest.mark.parametrize('samples', [None, [DataSample()] * 4])
def test_a_loss_needs_labels(samples):
    model = build(loss=dict(type='kd_det.TripletLoss'))
    with pytest.raises(UserError, match='needs data samples with gt_label'):
        model(torch.rand(4, 3, 32, 32), samples, mode='loss')


def test_width_is_checked():
    with pytest.raises(UserError, match='embed_dims=0; an integer, 1 or'):
        build(embed_dims=0)


def test_needs_the_channels_of_a_layer():
    with pytest.raises(UserError, match='no in_channels'):
        build(in_channels=None)


def test_conv4_of_few_shot_learning():
    net = MODELS.build(dict(type='kd_det.Conv4', in_channels=1))
    (maps,) = net(torch.randn(2, 1, 28, 28))
    assert maps.shape == (2, 64, 1, 1)
    assert sum(p.numel() for p in net.parameters()) == 111936
    (maps,) = MODELS.build(dict(type='kd_det.Conv4'))(
        torch.randn(2, 3, 84, 84)
    )
    assert maps.flatten(1).shape == (2, 1600)


def test_default_scope_of_mmpretrain():
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(
            dict(
                type='kd_det.EmbeddingModel',
                backbone=dict(type='ResNet', depth=18),
            )
        )
    assert isinstance(model, EmbeddingModel)
    assert model.eval()(torch.randn(1, 3, 32, 32)).shape == (1, 512)
