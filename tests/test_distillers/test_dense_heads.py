"""Dense heads that give no logits, or whose labels are those of other rows."""

import pytest
import torch
from mmdet.models.dense_heads import RetinaHead
from mmdet.registry import MODELS as MMDET
from tiny import NUM, build, losses_of

from kd_det.errors import UserError
from kd_det.testing import tiny_detector, tiny_pair

KD = dict(loss_kd=dict(type='DenseKDLoss'))


def spec(cfg=None, family='retinanet', **head):
    model = tiny_detector(family, 18, NUM)
    if cfg:
        model['cfg'] = f'mmdet::{cfg}.py'
    model['bbox_head'].update(head)
    return model


def pair(folder, student='retinanet', teacher='retinanet'):
    distiller = dict(type='DenseDistiller', losses=KD)
    return tiny_pair(
        folder,
        student=student,
        teacher=teacher,
        num_classes=NUM,
        distillers=dict(dense=distiller),
    )


GROUPS = dict(norm_cfg=dict(type='GN', num_groups=4))
FCOS = dict(family='fcos')
REFUSED = {
    'tood/tood_r50_fpn_1x_coco': (GROUPS, 'outputs probabilities, not logits'),
    'vfnet/vfnet_r50_fpn_1x_coco': (GROUPS, 'targets of torch.float32'),
    'paa/paa_r50_fpn_1x_coco': (GROUPS, 'PAAHead passes'),
    'autoassign/autoassign_r50-caffe_fpn_1x_coco': (
        GROUPS,
        'AutoAssignHead passes no logits and labels to its classification',
    ),
    'free_anchor/freeanchor_r50_fpn_1x_coco': (
        {},
        'FreeAnchorRetinaHead passes no logits and labels',
    ),
    'pisa/retinanet-r50_fpn_pisa_1x_coco': (
        {},
        'PISARetinaHead passes 6288 targets',
    ),
    'sabl/sabl-retinanet_r50_fpn_1x_coco': ({}, 'RetinaNet has none'),
}


@pytest.mark.parametrize('cfg', REFUSED)
def test_refused_at_the_build(tmp_path, cfg):
    head, message = REFUSED[cfg]
    student = spec(cfg, **head)
    with pytest.raises(UserError, match=message):
        build(pair(tmp_path, student, student))


@MMDET.register_module(name='SigmoidHeadOfTests', force=True)
class SigmoidHead(RetinaHead):
    def forward_single(self, x):
        scores, boxes = super().forward_single(x)
        return scores.sigmoid(), boxes


@MMDET.register_module(name='InPlaceHeadOfTests', force=True)
class InPlaceHead(RetinaHead):
    """What its last layer gives is made probabilities afterwards."""

    def forward_single(self, x):
        scores, boxes = super().forward_single(x)
        return scores.sigmoid_(), boxes


@MMDET.register_module(name='TurnedHeadOfTests', force=True)
class TurnedHead(RetinaHead):
    """Its loss gets as many labels, of other rows."""

    def loss_by_feat_single(self, cls_score, *args, **kwargs):
        turned = cls_score.flip(-1)
        return super().loss_by_feat_single(turned, *args, **kwargs)


@MMDET.register_module(name='TextHeadOfTests', force=True)
class TextHead(RetinaHead):
    def forward(self, feats, text_feats):
        return super().forward(feats)


@MMDET.register_module(name='WideHeadOfTests', force=True)
class WideHead(RetinaHead):
    """One channel more than its classes need."""

    def forward_single(self, x):
        scores, boxes = super().forward_single(x)
        return torch.cat([scores, scores[:, :1]], 1), boxes


@pytest.mark.parametrize('side', ['student', 'teacher'])
@pytest.mark.parametrize(
    ('kind', 'message'),
    [
        (
            'SigmoidHeadOfTests',
            'SigmoidHead outputs probabilities, not logits',
        ),
        (
            'InPlaceHeadOfTests',
            'InPlaceHead outputs probabilities, not logits',
        ),
        ('TextHeadOfTests', 'TextHead also needs text_feats'),
        ('WideHeadOfTests', 'WideHead outputs class maps with 64 channels'),
    ],
)
def test_heads_of_a_user(tmp_path, side, kind, message):
    sides = {side: spec(type=kind)}
    with pytest.raises(UserError, match=f"{side}'s {message}"):
        build(pair(tmp_path, **sides))


def test_labels_of_other_rows(tmp_path):
    student = spec(type='TurnedHeadOfTests')
    with pytest.raises(UserError, match='TurnedHead does not pass its maps'):
        build(pair(tmp_path, student))
    # what its own loss sees does not matter of a teacher
    build(pair(tmp_path, teacher=student))


def test_maps_of_zeros_are_not_taken_for_probabilities(tmp_path, batch):
    """As of a head whose class layer begins at 0."""
    student = spec(init_cfg=dict(type='Constant', layer='Conv2d', val=0))
    losses = losses_of(build(pair(tmp_path, student)), batch)
    assert losses['dense.loss_kd'].isfinite()
