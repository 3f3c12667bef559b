"""One class, boxes smaller than a bin, a single image: finite losses."""

import pytest
import torch
from matrix_cells import MAPS, ONE_STAGE, head_of, named
from mmengine.registry import init_default_scope

from kd_det.errors import UserError
from kd_det.registry import MODELS
from kd_det.testing import tiny_batch, tiny_pair

# A softmax over one class says nothing.
SOFTMAX = {'KDLoss', 'HardKDLoss', 'DKDLoss', 'NKDLoss', 'DISTLoss'}
FAMILIES = ('faster_rcnn', 'cascade_rcnn', *ONE_STAGE)


@pytest.fixture(scope='module', params=FAMILIES)
def one_class(request, tmp_path_factory):
    """A pair of one class under every loss that needs no class means."""
    head = head_of(request.param)
    skipped = {'NDLoss'}
    if request.param in ONE_STAGE:
        skipped |= SOFTMAX
    head['losses'] = {
        name: loss
        for name, loss in head['losses'].items()
        if loss['type'] not in skipped
    }
    init_default_scope('mmdet')
    torch.manual_seed(0)
    maps = dict(type='FeatureDistiller', losses=named(MAPS))
    model = MODELS.build(
        tiny_pair(
            tmp_path_factory.mktemp('pair'),
            num_classes=1,
            student=request.param,
            teacher=request.param,
            distillers=dict(head=head, maps=maps),
        )
    )
    model.init_weights()
    return model.train()


def check(model, batch):
    data = model.data_preprocessor(batch, True)
    losses = model(**data, mode='loss')
    ours = {key: value for key, value in losses.items() if '.' in key}
    assert len(ours) > 6
    for key, value in ours.items():
        assert torch.isfinite(value), key
    total, _ = model.parse_losses(losses)
    total.backward()
    for key, weight in model.named_parameters():
        if weight.grad is not None:
            assert torch.isfinite(weight.grad).all(), key
    model.zero_grad()


def test_one_class(one_class):
    check(one_class, tiny_batch(one_class, num_classes=1))


def test_one_image_and_none_with_objects(one_class):
    check(one_class, tiny_batch(one_class, num_images=1, num_classes=1))
    check(
        one_class,
        tiny_batch(one_class, 1, num_classes=1, without_objects=(0,)),
    )


def test_boxes_smaller_than_a_bin(one_class):
    batch = tiny_batch(one_class, num_classes=1)
    for sample in batch['data_samples']:
        boxes = sample.gt_instances.bboxes.tensor
        boxes[:, 2:] = boxes[:, :2] + 1.5  # pixels
    check(one_class, batch)


def of_one_class(folder, cfg):
    init_default_scope('mmdet')
    dense = dict(type='DenseDistiller', losses=dict(loss_a=cfg))
    return MODELS.build(
        tiny_pair(
            folder,
            num_classes=1,
            student='fcos',
            teacher='fcos',
            distillers=dict(dense=dense),
        )
    )


@pytest.mark.parametrize(
    'cfg',
    [
        *(dict(type=kind) for kind in sorted(SOFTMAX)),
        dict(type='SoftmaxRegressionLoss', mode='kl'),
        dict(type='SoftmaxRegressionLoss', mode='ce'),
        dict(type='SDDLoss', base=dict(type='KDLoss')),
    ],
    ids=lambda cfg: '-'.join(map(str, cfg.values())),
)
def test_a_loss_that_needs_other_classes_stops_the_build(tmp_path, cfg):
    with pytest.raises(
        UserError, match='loss_a .* at least 2 classes.* 1;'
    ) as e:
        of_one_class(tmp_path, cfg)
    fix = str(e.value).partition(';')[2]
    assert 'DenseKDLoss' in fix and 'SigmoidKDLoss' in fix
    assert ' KDLoss' not in fix  # which says nothing of one class either


@pytest.mark.parametrize(
    'cfg',
    [
        dict(type='SigmoidKDLoss'),
        dict(type='SoftmaxRegressionLoss', mode='mse'),
    ],
    ids=lambda cfg: cfg['type'],
)
def test_one_class_is_enough_for_the_others(tmp_path, cfg):
    of_one_class(tmp_path, cfg)
