"""Box heads that run more than once, or whose columns are not the classes'."""

import copy

import pytest
import torch
from mmdet.models.roi_heads.bbox_heads import Shared2FCBBoxHead
from mmdet.registry import MODELS as MMDET
from tiny import KD, ND_FOREGROUND, NUM, build, losses_of, tiny_spec
from torch import nn

from kd_det.distillers import rehearsal
from kd_det.errors import UserError
from kd_det.testing import save_teacher, tiny_detector

OHEM = dict(type='OHEMSampler', num=8, pos_fraction=0.25)


def spec(family='faster_rcnn', sampler=None, **changes):
    model = tiny_detector(family, 18, NUM)
    model.update(copy.deepcopy(changes))
    if sampler:
        rcnn = model['train_cfg']['rcnn']
        stages = [rcnn] if 'sampler' in rcnn else rcnn.values()
        for stage in stages:
            stage['sampler'] = dict(sampler, _delete_=True)
    return model


def of(cfg, **changes):
    return spec(cfg=f'mmdet::{cfg}.py', **changes)


PISA = of(
    'pisa/faster-rcnn_r50_fpn_pisa_1x_coco',
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=100, max_per_img=50),
        rcnn=dict(sampler=dict(num=16)),
    ),
)
RUN = {
    'ohem': spec(sampler=OHEM),
    'ohem cascade': spec('cascade_rcnn', OHEM),
    'ohem double': spec('double_head', OHEM),
    'ohem mask': spec('mask_rcnn', OHEM),
    'pisa': PISA,
    'dynamic': of('dynamic_rcnn/dynamic-rcnn_r50_fpn_1x_coco'),
}


def pair(teacher, student, losses=KD, centroids=None):
    distiller = dict(type='RoIDistiller', losses=losses)
    if centroids:
        distiller['centroids'] = centroids
    return dict(
        _scope_='kd_det',
        type='DistillModel',
        teacher=teacher,
        student=student,
        distillers=dict(roi=distiller),
    )


@pytest.fixture
def lines(monkeypatch):
    """What the rehearsal logs."""
    told = []
    monkeypatch.setattr(
        rehearsal, 'print_log', lambda text, *_, **__: told.append(text)
    )
    return told


class Learnt:
    """What a detector's own code makes its box heads learn from."""

    def __init__(self, roi_head):
        self.passes = []
        heads = roi_head.bbox_head
        for head in heads if isinstance(heads, nn.ModuleList) else [heads]:
            self._watch(head)

    def _watch(self, head):
        plain = head.loss

        def loss(cls_score, bbox_pred, rois, labels, *rest, **kwargs):
            if cls_score.requires_grad:
                self.passes.append((cls_score, rois, labels))
            return plain(cls_score, bbox_pred, rois, labels, *rest, **kwargs)

        # by keywords, too, as OHEM calls it
        head.loss = lambda *args, **kwargs: loss(*args, **kwargs)


@pytest.mark.parametrize('name', RUN)
def test_the_regions_read_are_those_learnt_from(teacher, batch, name):
    """OHEM scores all candidates first, and PISA some of them."""
    model = build(pair(teacher, RUN[name]))
    calls = []
    seen = {}
    distiller = model.distill['roi']
    distiller.register_forward_pre_hook(lambda _, args: seen.update(args[0]))
    learnt = Learnt(model.student.roi_head)
    heads = model.student.roi_head.bbox_head
    first = heads[0] if isinstance(heads, nn.ModuleList) else heads
    first.fc_cls.register_forward_hook(lambda *_: calls.append(1))
    if 'mask' in name:
        batch = with_masks(batch)
    losses = losses_of(model, batch)
    assert losses['roi.loss_kd'] > 0
    stages = len(heads) if isinstance(heads, nn.ModuleList) else 1
    assert len(learnt.passes) == stages
    assert (len(calls) > 1) == ('ohem' in name or name == 'pisa')
    logits, rois, labels = (
        torch.cat([found[i] for found in learnt.passes]) for i in range(3)
    )
    assert torch.equal(seen['student_logits'], logits)
    assert torch.equal(seen['rois'], rois)
    assert torch.equal(seen['labels'], labels)
    assert torch.equal(seen['foreground'], labels < NUM)
    assert 0 < seen['foreground'].sum() < len(labels)
    # the teacher was asked about the same regions, level by level
    feats = model.teacher.extract_feat(prepared(model, batch))
    if stages == 1:
        embed, asked = distiller.look(feats, rois)
        torch.testing.assert_close(seen['teacher_logits'], asked)
        torch.testing.assert_close(seen['teacher_embed'], embed)


def prepared(model, batch):
    data = model.data_preprocessor(copy.deepcopy(batch), True)
    return data['inputs']


def with_masks(batch):
    import numpy as np
    from mmdet.structures.mask import BitmapMasks

    batch = copy.deepcopy(batch)
    for sample in batch['data_samples']:
        height, width = sample.img_shape
        masks = np.ones((len(sample.gt_instances), height, width), np.uint8)
        sample.gt_instances.masks = BitmapMasks(masks, height, width)
    return batch


def test_class_means_of_a_teacher_that_mines(batch, tmp_path):
    """Proposals of its own, as many labels as embeddings."""
    teacher = save_teacher(spec(sampler=OHEM), tmp_path / 'teacher.pth')
    model = build(pair(teacher, tiny_spec()))
    data = model.data_preprocessor(copy.deepcopy(batch), True)
    sampled = []
    head = model.teacher.model.roi_head.bbox_head
    head.loss_cls.register_forward_pre_hook(
        lambda _, args: sampled.append(args[1])
    )
    embed, labels = model.distill['roi'].teacher_samples(
        data['inputs'], data['data_samples'], 'proposals'
    )
    assert len(sampled) > 1
    assert torch.equal(labels, sampled[-1])
    assert len(embed) == len(labels) == 16


SEESAW = dict(
    type='SeesawLoss', p=0.8, q=2.0, num_classes=NUM, loss_weight=1.0
)
SIGMOID = dict(
    type='CrossEntropyCustomLoss', use_sigmoid=True, num_classes=NUM
)


def with_loss(loss):
    student = tiny_spec()
    student['roi_head']['bbox_head']['loss_cls'] = dict(loss, _delete_=True)
    return student


@pytest.mark.parametrize(
    ('loss', 'columns'), [(SEESAW, NUM + 2), (SIGMOID, NUM)]
)
@pytest.mark.parametrize('side', ['student', 'teacher'])
def test_other_columns_are_no_logits(teacher, tmp_path, loss, columns, side):
    student = tiny_spec()
    if side == 'student':
        student = with_loss(loss)
    else:
        teacher = save_teacher(with_loss(loss), tmp_path / 'teacher.pth')
    message = (
        'asks for student_logits, and the classification layer of the '
        f"{side}'s Shared2FCBBoxHead has {columns} outputs for {NUM} classes "
        f'and the background, as required by {loss["type"]};'
    )
    with pytest.raises(UserError, match=message):
        build(pair(teacher, student))


@pytest.mark.parametrize('loss', [SEESAW, SIGMOID])
def test_embeddings_of_such_a_head_are_read(teacher, batch, bank, loss):
    """Not 16 of 16 regions are foreground: the background is the class."""
    model = build(pair(teacher, with_loss(loss), ND_FOREGROUND, bank))
    seen = {}
    model.distill['roi'].register_forward_pre_hook(
        lambda _, args: seen.update(args[0])
    )
    losses = losses_of(model, batch)
    assert losses['roi.loss_nd'] > 0
    assert torch.equal(seen['foreground'], seen['labels'] < NUM)
    assert 0 < seen['foreground'].sum() < len(seen['labels'])


REFUSED = {
    'sparse_rcnn/sparse-rcnn_r50_fpn_1x_coco': (
        'SparseRoIHead of the student.s SparseRCNN also needs object_feats'
    ),
    'crowddet/crowddet-rcnn_r50_fpn_8xb2-30e_crowdhuman': (
        'MultiInstanceBBoxHead is a ModuleList'
    ),
    'tridentnet/tridentnet_r50-caffe_1x_coco': (
        'backbone returns 6 maps for 2 images, like TridentNet'
    ),
}


@pytest.mark.parametrize('cfg', REFUSED)
def test_heads_that_are_refused_at_the_build(teacher, cfg):
    model = pair(teacher, dict(cfg=f'mmdet::{cfg}.py'))
    model['student']['backbone'] = dict(init_cfg=None)
    model['student']['data_preprocessor'] = dict(batch_augments=None)
    loss = dict(loss_norm=dict(type='NormLoss', loss_weight=0.1))
    linear = dict(student_embed=dict(type='LinearAdaptor'))
    model['distillers']['roi'].update(losses=loss, connectors=linear)
    model['student']['num_classes'] = NUM
    with pytest.raises(UserError, match=REFUSED[cfg]):
        build(model)


@MMDET.register_module(name='BoundedLinearOfTests', force=True)
class BoundedLinear(nn.Linear):
    """One whose output is a cosine."""

    def forward(self, x):
        weight = nn.functional.normalize(self.weight)
        return nn.functional.linear(nn.functional.normalize(x), weight)


@MMDET.register_module(name='SoftLinearOfTests', force=True)
class SoftLinear(nn.Linear):
    def forward(self, x):
        return super().forward(x).softmax(1)


@MMDET.register_module(name='TwiceHeadOfTests', force=True)
class TwiceHead(Shared2FCBBoxHead):
    """One whose loss runs the class layer again and learns from both."""

    def loss(self, cls_score, bbox_pred, rois, labels, *rest, **kwargs):
        again = self.fc_cls(self.seen)
        losses = super().loss(cls_score, bbox_pred, rois, labels, *rest)
        more = super().loss(again, None, rois, labels, *rest)
        losses['loss_again'] = more['loss_cls']
        return losses

    def forward(self, x):
        for fc in self.shared_fcs:
            x = self.relu(fc(x.flatten(1)))
        self.seen = x
        return self.fc_cls(x), self.fc_reg(x)


@MMDET.register_module(name='ShyHeadOfTests', force=True)
class ShyHead(TwiceHead):
    """One that is not for noise of 8 regions an image."""

    def loss(self, cls_score, *args, **kwargs):
        if len(cls_score) == 16:
            raise ValueError('only for photos')
        return super().loss(cls_score, *args, **kwargs)


@MMDET.register_module(name='OddHeadOfTests', force=True)
class OddHead(Shared2FCBBoxHead):
    """One that learns from something else than its class layer gives."""

    def forward(self, x):
        scores, boxes = super().forward(x)
        return scores.log_softmax(1), boxes


def with_head(**head):
    student = tiny_spec()
    student['roi_head']['bbox_head'].update(head)
    return student


@pytest.mark.parametrize(
    ('head', 'message'),
    [
        (
            dict(cls_predictor_cfg=dict(type='BoundedLinearOfTests')),
            "The classification layer of the student's Shared2FCBBoxHead, a "
            'BoundedLinear, outputs probabilities or cosines',
        ),
        (
            dict(cls_predictor_cfg=dict(type='SoftLinearOfTests')),
            'SoftLinear, outputs probabilities or cosines',
        ),
        (
            dict(type='TwiceHeadOfTests'),
            'box head is trained on 2 runs in a step',
        ),
        (
            dict(type='OddHeadOfTests'),
            "The student's box head does not pass the output of its class",
        ),
    ],
)
def test_heads_of_a_user(teacher, head, message):
    with pytest.raises(UserError, match=message):
        build(pair(teacher, with_head(**head)))


def test_a_cosine_layer_with_a_scale_is_accepted(teacher, batch):
    cosine = dict(type='NormedLinear')
    student = with_head(cls_predictor_cfg=cosine)
    losses = losses_of(build(pair(teacher, student)), batch)
    assert losses['roi.loss_kd'].isfinite()


def test_cells_of_a_head_with_two_inputs(teacher):
    sdd = dict(loss_sdd=dict(type='SDDLoss', base=dict(type='KDLoss')))
    message = 'DoubleConvFCBBoxHead needs x_cls and x_reg, and a cell'
    with pytest.raises(UserError, match=message):
        build(pair(teacher, spec('double_head'), sdd))


def htc(**changes):
    student = spec('cascade_rcnn')
    roi_head = dict(
        student['roi_head'],
        mask_roi_extractor=None,
        mask_head=None,
        semantic_roi_extractor=dict(
            out_channels=16,
            featmap_strides=[8],
            _delete_=True,
            type='SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=0),
        ),
        semantic_head=dict(in_channels=16, conv_out_channels=16, num_convs=1),
        **changes,
    )
    return dict(
        student, cfg='mmdet::htc/htc_r50_fpn_1x_coco.py', roi_head=roi_head
    )


def test_a_branch_that_a_region_does_not_show(teacher, tmp_path, lines):
    """HTC adds semantic features: a teacher's would be missed."""
    own = save_teacher(htc(), tmp_path / 'teacher.pth')
    message = "The teacher's HybridTaskCascadeRoIHead adds semantic_feat"
    with pytest.raises(UserError, match=message):
        build(pair(own, spec('cascade_rcnn')))
    # the student's own regions are read with all that it adds
    build(pair(teacher, htc()))
    assert not lines


def test_the_rehearsal_leaves_no_trace(teacher):
    """Statistics and memories are as without one."""
    student = dict(
        of('dynamic_rcnn/dynamic-rcnn_r50_fpn_1x_coco'),
    )
    student['backbone'] = dict(student['backbone'], norm_eval=False)
    seesaw = with_loss(SEESAW)['roi_head']['bbox_head']['loss_cls']
    student['roi_head']['bbox_head']['loss_cls'] = seesaw
    norm = dict(loss_norm=dict(type='NormLoss'))
    linear = dict(student_embed=dict(type='LinearAdaptor'))
    model = pair(teacher, student, norm)
    model['distillers']['roi']['connectors'] = linear
    built = build(model)
    roi_head = built.student.roi_head
    assert not roi_head.iou_history and not roi_head.beta_history
    assert roi_head.bbox_head.loss_cls.cum_samples.sum() == 0
    for module in built.student.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.num_batches_tracked == 0
            assert (module.running_mean == 0).all()


def test_a_student_that_cannot_be_tried(teacher, batch, lines):
    """A line in the log; its first step tells what cannot be read."""
    student = with_head(type='ShyHeadOfTests')
    model = build(pair(teacher, student))
    (line,) = lines
    assert (
        'FasterRCNN does not train on noise (ValueError: only for photos)'
        in line
    )
    with pytest.raises(UserError, match='trained on 2 runs in a step'):
        losses_of(model, batch)
