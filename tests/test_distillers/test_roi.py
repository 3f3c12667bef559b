"""RoIDistiller: what it reads, what it refuses, what it needs."""

import copy

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from tiny import (
    CLASSES,
    KD,
    ND,
    ND_FOREGROUND,
    NUM,
    build,
    losses_of,
    pair_cfg,
    tiny_spec,
    without_objects,
)
from torch import Tensor

from kd_det.centroids import CentroidBank
from kd_det.distillers import RoIDistiller, roi
from kd_det.errors import UserError
from kd_det.losses import DistillLoss
from kd_det.registry import MODELS
from kd_det.testing import save_teacher, tiny_pair

PROVIDES = {*RoIDistiller.provides}


@pytest.fixture(scope='module')
def model(teacher, bank):
    return build(pair_cfg(teacher, {**KD, **ND}, bank))


def build_only(cfg):
    init_default_scope('mmdet')
    return MODELS.build(cfg)


def refused(message, *args, **kwargs):
    with pytest.raises(UserError, match=message):
        build_only(pair_cfg(*args, **kwargs))


def knowledge_of(model, batch):
    """The knowledge of one step and the RoIs it is about."""
    distiller, seen = model.distill['roi'], {}
    handles = [
        distiller.register_forward_pre_hook(
            lambda _, args: seen.update(args[0])
        ),
        model.student.roi_head.bbox_roi_extractor.register_forward_pre_hook(
            lambda _, args: seen.update(rois=args[1])
        ),
        model.student.roi_head.bbox_head.register_forward_hook(
            lambda _, args, out: seen.update(scores=out[0])
        ),
    ]
    losses_of(model, batch)
    for handle in handles:
        handle.remove()
    return seen


@torch.no_grad()
def by_hand(network, inputs, rois):
    """Embedding and logits of a detector, layer by layer."""
    head = network.roi_head
    feats = network.neck(network.backbone(inputs))
    x = head.bbox_roi_extractor(feats[:4], rois).flatten(1)
    for layer in head.bbox_head.shared_fcs:
        x = layer(x).relu()
    return x, head.bbox_head.fc_cls(x)


def test_reads_the_students_own_regions(model, batch):
    seen = knowledge_of(model, batch)
    asked_for = 'region', 'cross', 'boxes', 'deltas'
    made_when_asked = {
        f for f in PROVIDES if any(word in f for word in asked_for)
    }
    assert {*seen} == PROVIDES - made_when_asked | {'scores'}
    assert seen['student_logits'] is seen['scores']
    rois, labels = seen['rois'], seen['labels']
    assert len(rois) == len(labels) == 2 * 16
    inputs = model.data_preprocessor(copy.deepcopy(batch))['inputs']
    embed, logits = by_hand(model.student, inputs, rois)
    torch.testing.assert_close(seen['student_embed'], embed)
    torch.testing.assert_close(seen['student_logits'], logits)
    embed, logits = by_hand(model.teacher.model, inputs, rois)
    torch.testing.assert_close(seen['teacher_embed'], embed)
    torch.testing.assert_close(seen['teacher_logits'], logits)
    # an RoI on an object has its label, and background is the last class
    truth = [s.gt_instances for s in batch['data_samples']]
    for (image, *box), label in zip(rois.tolist(), labels.tolist()):
        objects = truth[int(image)]
        overlap = iou(torch.tensor(box), objects.bboxes.tensor)
        best = objects.labels[overlap.argmax()]
        expected = best if overlap.max() >= 0.5 else NUM
        assert label == expected
    assert torch.equal(seen['foreground'], labels < NUM)
    assert 0 < seen['foreground'].sum() < len(labels)


def iou(box, boxes):
    low = torch.maximum(box[:2], boxes[:, :2])
    high = torch.minimum(box[2:], boxes[:, 2:])
    inner = (high - low).clamp(min=0).prod(1)
    area = (box[2:] - box[:2]).prod()
    return inner / (area + (boxes[:, 2:] - boxes[:, :2]).prod(1) - inner)


def test_look_at_nothing(model):
    feats = model.teacher.extract_feat(torch.rand(1, 3, 64, 64))
    embed, logits = model.distill['roi'].look(feats, torch.zeros(0, 5))
    assert embed.shape == (0, 32) and logits.shape == (0, NUM + 1)


def test_centroids_are_a_buffer_that_no_checkpoint_holds(model, bank):
    distiller = model.distill['roi']
    expected = CentroidBank.load(bank).centroids
    np.testing.assert_array_equal(distiller.centroids.numpy(), expected)
    assert 'centroids' in dict(distiller.named_buffers())
    assert not any('centroids' in key for key in model.state_dict())


def test_buffers_do_not_depend_on_when_the_bank_comes(
    teacher, bank, tmp_path, model
):
    """An averaged copy pairs buffers one by one; it may be made earlier."""
    path = str(tmp_path / 'later.npz')
    early = build(pair_cfg(teacher, {**KD, **ND}, path))
    shapes = [b.shape for b in model.buffers()]
    assert [b.shape for b in early.buffers()] == shapes
    early.distill['roi'].set_bank(CentroidBank.load(bank))
    assert [b.shape for b in early.buffers()] == shapes
    for ours, expected in zip(early.buffers(), model.buffers()):
        assert torch.equal(ours, expected)


def test_bank_follows_the_model(teacher, bank, tmp_path):
    path = str(tmp_path / 'later.npz')
    model = build(pair_cfg(teacher, ND, path)).double().to('meta')
    model.distill['roi'].set_bank(CentroidBank.load(bank))
    centroids = model.distill['roi'].centroids
    assert centroids.dtype == torch.float64
    assert centroids.device.type == 'meta'


@MODELS.register_module(name='FieldsOfTests')
class Fields(DistillLoss):
    """Keeps the names of what it was given."""

    def forward(
        self,
        teacher_logits: Tensor,
        student_logits: Tensor,
        centroids: Tensor | None = None,
        nothing: Tensor | None = None,
    ) -> Tensor:
        self.given = centroids
        return self.mean(student_logits.sum(1) - teacher_logits.sum(1))


@MODELS.register_module(name='NeedsFeatsOfTests')
class NeedsFeats(DistillLoss):
    def forward(self, student_feats: Tensor) -> Tensor:
        return self.mean(student_feats)


def test_optional_fields_come_when_they_are_there(teacher, bank, batch):
    losses = dict(loss_x=dict(type='FieldsOfTests'))
    for path in (None, bank):
        model = build(pair_cfg(teacher, losses, path))
        losses_of(model, batch)
        given = model.distill['roi'].losses['loss_x'].given
        assert (given is None) == (path is None)


@pytest.mark.parametrize(
    ('losses', 'message'),
    [
        (
            dict(loss_nd=dict(type='NDLos')),
            "loss_nd is of unknown type 'NDLos'.*; did you mean 'NDLoss'",
        ),
        (dict(loss_nd=dict(loss_weight=1)), 'loss_nd is of unknown type None'),
        (dict(loss_nd='NDLoss'), "loss_nd is 'NDLoss'; a dict"),
        (
            dict(loss_ce=dict(type='mmdet.CrossEntropyLoss')),
            "loss_ce is of the wrong type 'mmdet.CrossEntropyLoss'.*NDLoss",
        ),
        (dict(loss_d=dict(type='RoIDistiller')), 'loss_d is of the wrong typ'),
        (
            dict(loss_kd=dict(type='KDLoss', T=4)),
            r"loss_kd \(KDLoss\) got an unexpected keyword argument 'T'; "
            'accepted are tau, loss_weight',
        ),
        (
            dict(loss_sdd=dict(type='SDDLoss')),
            "missing a required argument: 'base'",
        ),
        (
            dict(loss_kd=dict(type='KDLoss', loss_weight='x')),
            "loss_weight='x'; a finite number",
        ),
        (dict(kd=dict(type='KDLoss')), "'kd'; names must start with 'loss_'"),
        (
            dict(loss_x=dict(type='NeedsFeatsOfTests')),
            r'RoIDistiller provides student_logits, .*, but loss_x '
            r"\(NeedsFeats\) requires 'student_feats'",
        ),
        (ND, "requires 'centroids'; set centroids='FILE.npz'"),
        ([('loss_kd', dict(type='KDLoss'))], 'losses=.* is a list; a dict'),
        (
            dict(loss_sifn=dict(type='SIFNLoss', num_classes=NUM)),
            'loss_sifn has num_classes=7, but the logits have 8 columns',
        ),
    ],
)
def test_wrong_losses(teacher, losses, message):
    cfg = pair_cfg(teacher)
    cfg.distillers.roi.losses = losses
    with pytest.raises(UserError, match=message):
        build_only(cfg)


def test_taps_of_an_unusual_head(teacher, batch):
    losses = {**KD, 'loss_norm': dict(type='NormLoss')}
    head = 'roi_head.bbox_head'
    for point in (f'{head}.fc_reg:input', f'{head}.relu[-1]'):
        model = build(pair_cfg(teacher, losses, taps=dict(embed=point)))
        seen = knowledge_of(model, batch)
        inputs = model.data_preprocessor(copy.deepcopy(batch))['inputs']
        embed, _ = by_hand(model.student, inputs, seen['rois'])
        torch.testing.assert_close(seen['student_embed'], embed)
    # the ReLU behind the layer works in place
    taps = dict(embed=f'{head}.shared_fcs.1')
    with pytest.raises(UserError, match='shared_fcs.1. was changed'):
        build(pair_cfg(teacher, losses, taps=taps))


def test_wrong_taps(teacher):
    for taps, message in (
        (dict(embedding='x'), "taps has 'embedding'; .*did you mean 'embed'"),
        (dict(embed=None), 'taps has embed=None; a module path'),
        (
            dict(logits='roi_head.bbox_head.fc_clss'),
            "no submodule 'roi_head.bbox_head.fc_clss'; did you mean",
        ),
        (dict(logits='roi_head.bbox_head.fc_cls:in'), "ends in 'in'"),
    ):
        refused(message, teacher, taps=taps)


def test_no_two_stage_detector(teacher):
    student = dict(
        cfg='mmdet::retinanet/retinanet_r18_fpn_1x_coco.py',
        num_classes=NUM,
        backbone=dict(init_cfg=None),
    )
    refused(
        'the student RetinaNet has none with a classif',
        teacher,
        student=student,
    )


def test_widths(teacher, bank, batch):
    student = tiny_spec()
    student['roi_head']['bbox_head']['fc_out_channels'] = 48
    fix = '48 wide, .* 32; set student.*fc_out_channels=32'
    refused(fix, teacher, ND, bank, student=student)
    norm = dict(loss_norm=dict(type='NormLoss'))
    refused(fix, teacher, norm, student=student)
    # logits alone do not care, and a norm of its own neither
    sifn = dict(loss_sifn=dict(type='SIFNLoss'))
    model = build(pair_cfg(teacher, {**KD, **sifn}, student=student))
    assert losses_of(model, batch)['roi.loss_kd'] > 0
    memory = model.distill['roi'].losses['loss_sifn'].previous_norms
    assert len(memory) == NUM + 1  # told by the logits


def bank_file(path, width=32, rows=NUM + 1, background=1, **provenance):
    means = np.random.default_rng(0).random((rows, width), np.float32)
    counts = np.ones(rows, np.int64)
    counts[-1] = background
    means[-1] *= background
    names = (*CLASSES, 'background', 'more')[:rows]
    CentroidBank(means, counts, names, provenance).save(path)
    return str(path)


def test_banks_of_others(teacher, tmp_path):
    path = tmp_path / 'bank.npz'
    for change, message in (
        (dict(width=16), "bank.npz' is 16 wide, the embeddings are 32"),
        (dict(rows=NUM), "bank.npz' has 7 rows, the logits have 8"),
        (dict(rows=NUM + 2), 'has 9 rows'),
        (dict(teacher_sha256='f' * 64), 'made from another teacher'),
    ):
        refused(message, teacher, ND, bank_file(path, **change))
    path.write_bytes(b'PK nonsense')
    refused("bank.npz' cannot be read", teacher, ND, path)


def test_banks_of_the_authors(teacher, batch, tmp_path):
    rows = np.random.default_rng(0).random((NUM + 1, 32)).round(4)
    text = ', '.join(f'"{i}": {row.tolist()}' for i, row in enumerate(rows))
    (tmp_path / 'center.json').write_text(f'{{{text}}}')
    model = build(pair_cfg(teacher, ND, tmp_path / 'center.json'))
    assert losses_of(model, batch)['roi.loss_nd'] > 0
    model.distill['roi'].check_coverage()


def test_source_that_the_losses_need(teacher, bank):
    for losses, source in (
        (ND, 'proposals'),
        (ND_FOREGROUND, 'gt'),
        (KD, 'gt'),
        (dict(loss_norm=dict(type='NormLoss')), 'gt'),
        ({**ND_FOREGROUND, 'loss_b': dict(type='FDRCosineLoss')}, 'proposals'),
    ):
        model = build_only(pair_cfg(teacher, losses, bank))
        assert model.distill['roi'].default_source() == source


def test_coverage(teacher, tmp_path):
    path = bank_file(tmp_path / 'bank.npz', background=0)
    distiller = build_only(pair_cfg(teacher, ND, path)).distill['roi']
    with pytest.raises(UserError, match='no background mean.*--source prop'):
        distiller.check_coverage()
    cfg = pair_cfg(teacher, ND_FOREGROUND, path)
    build_only(cfg).distill['roi'].check_coverage()


def test_teacher_samples_of_annotations(model, batch):
    data = model.student.data_preprocessor(copy.deepcopy(batch))
    inputs, samples = data['inputs'], data['data_samples']
    embed, labels = model.distill['roi'].teacher_samples(inputs, samples, 'gt')
    rois, expected = [], []
    for image, sample in enumerate(batch['data_samples']):
        for box in sample.gt_instances.bboxes.tensor.tolist():
            rois.append([image, *box])
        expected += sample.gt_instances.labels.tolist()
    assert labels.tolist() == expected
    by_layer, _ = by_hand(model.teacher.model, inputs, torch.tensor(rois))
    torch.testing.assert_close(embed, by_layer)
    assert not embed.requires_grad


def test_teacher_samples_of_proposals(model, batch):
    data = model.student.data_preprocessor(copy.deepcopy(batch))
    look = model.distill['roi'].teacher_samples
    torch.manual_seed(0)
    embed, labels = look(data['inputs'], data['data_samples'], 'proposals')
    assert embed.shape == (2 * 16, 32) and labels.shape == (2 * 16,)
    assert (labels == NUM).any() and (labels < NUM).any()
    assert not embed.requires_grad


def test_teacher_samples_without_objects(model, batch):
    data = model.student.data_preprocessor(without_objects(batch, 0, 1))
    look = model.distill['roi'].teacher_samples
    embed, labels = look(data['inputs'], data['data_samples'], 'gt')
    assert embed.shape == (0, 32) and labels.shape == (0,)
    _, labels = look(data['inputs'], data['data_samples'], 'proposals')
    assert set(labels.tolist()) == {NUM}


def test_teacher_samples_without_proposals(tmp_path, batch):
    teacher = save_teacher(tiny_spec(50, num_rois=0), tmp_path / 't.pth')
    model = build(pair_cfg(teacher))
    data = model.student.data_preprocessor(without_objects(batch, 0, 1))
    embed, labels = model.distill['roi'].teacher_samples(
        data['inputs'], data['data_samples'], 'proposals'
    )
    assert embed.shape == (0, 32) and labels.shape == (0,)


@pytest.mark.parametrize(
    'student, teacher, said',
    [
        (
            'faster_rcnn',
            'cascade_rcnn',
            "distillers.roi: the teacher's head of stage 0 teaches the "
            "student's only head",
        ),
        (
            'cascade_rcnn',
            'faster_rcnn',
            'distillers.roi: '
            + ', '.join(
                "the teacher's only head teaches the student's head of stage "
                f'{stage}'
                for stage in range(3)
            ),
        ),
        ('cascade_rcnn', 'cascade_rcnn', None),
    ],
)
def test_the_log_says_which_head_teaches(
    tmp_path, monkeypatch, student, teacher, said
):
    heard = []
    monkeypatch.setattr(
        roi, 'print_log', lambda text, *_, **__: heard.append(text)
    )
    init_default_scope('mmdet')
    MODELS.build(tiny_pair(tmp_path, student=student, teacher=teacher))
    assert heard == ([said] if said else [])
