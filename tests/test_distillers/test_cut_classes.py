"""What is left of each field when only some classes are common."""

import copy

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from test_distillers.test_class_match import COCO, OURS, PAIRS, build, step
from tiny import CLASSES, NUM

from kd_det.distillers.class_match import ClassMatch
from kd_det.errors import UserError
from kd_det.functional import ld_loss, sigmoid_kd_loss
from kd_det.precompute.centroids import compute_bank
from kd_det.registry import MODELS
from kd_det.testing import save_teacher, tiny_detector, tiny_pair, tiny_run

MINE, THEIRS = map(list, zip(*PAIRS))
SDD = dict(loss_sdd=dict(type='SDDLoss', base=dict(type='KDLoss')))


def pair(folder, family, distiller):
    teacher = save_teacher(
        tiny_detector(family, 50, len(COCO)), folder / 't.pth', COCO
    )
    student = tiny_detector(family, num_classes=len(OURS))
    return build(student, teacher, dict(own=distiller))


def log_softmax(z):
    z = z - z.max()
    return z - np.log(np.exp(z).sum())


def kl(s, t):
    s, t = log_softmax(s), log_softmax(t)
    return (np.exp(t) * (t - s)).sum()


def sdd(seen, ours, theirs, mask):
    """Loops over rows and regions, with columns picked by hand."""
    s = seen['student_region_logits'].detach().double().numpy()
    t = seen['teacher_region_logits'].detach().double().numpy()
    total, count = 0.0, 0
    for i, label in enumerate(seen['region_labels'].tolist()):
        if label not in ours:
            continue
        y = ours.index(label)
        right = t[i, theirs, 0].argmax() == y
        for r in range(s.shape[2]):
            if not mask[i, r]:
                continue
            agrees = (t[i, theirs, r].argmax() == y) == right
            weight = 1 if agrees else 2
            total += weight * kl(s[i, ours, r], t[i, theirs, r])
            count += 1
    return total / count


def test_regions_of_rois(tmp_path):
    own = dict(type='RoIDistiller', losses=SDD)
    losses, seen = step(pair(tmp_path, 'faster_rcnn', own))
    seen = seen['own']
    ours, theirs = [*MINE, len(OURS)], [*THEIRS, len(COCO)]
    assert any(y not in ours for y in seen['region_labels'].tolist())
    expected = sdd(seen, ours, theirs, seen['region_mask'])
    assert losses['own.loss_sdd'].item() == pytest.approx(expected, rel=1e-4)


def test_fields_of_a_dense_head(tmp_path):
    dense = dict(
        type='DenseDistiller',
        losses=dict(
            SDD,
            loss_dense=dict(type='DenseKDLoss'),
            loss_ld=dict(type='LDLoss', tau=2.0),
            loss_sr=dict(type='SoftmaxRegressionLoss'),
        ),
    )
    model = pair(tmp_path, 'gfl', dense)
    losses, seen = step(model)
    seen = seen['own']
    everything = torch.ones(seen['student_region_logits'].shape[::2])
    expected = sdd(seen, MINE, THEIRS, everything)
    assert losses['own.loss_sdd'].item() == pytest.approx(expected, rel=1e-4)
    every = sigmoid_kd_loss(
        seen['student_dense_logits'][:, MINE],
        seen['teacher_dense_logits'][:, THEIRS],
        1.0,
        1.0,
    )
    known = torch.tensor([y in MINE for y in seen['labels'].tolist()])
    assert known.any() and not known.all()
    # where something lies that the teacher cannot see it says "nothing here"
    on_object = seen['dense_foreground'].nonzero()[:, 0].tolist()
    blind = [m for m, y in zip(on_object, seen['labels']) if y not in MINE]
    kept = [m for m in range(len(every)) if m not in blind]
    torch.testing.assert_close(
        losses['own.loss_dense'], every[kept].sum() / known.sum()
    )
    assert seen['dense_foreground'].sum() == len(known)  # as it was
    corners = [seen[f'{s}_corners'][known] for s in ('student', 'teacher')]
    torch.testing.assert_close(
        losses['own.loss_ld'], 0.25 * ld_loss(*corners, 2.0).mean()
    )
    crossed = seen['cross_logits'][known][:, THEIRS].detach()
    other = seen['teacher_logits'][known][:, THEIRS]
    loss = copy.deepcopy(model.distill['own'].losses['loss_sr'])
    torch.testing.assert_close(losses['own.loss_sr'], loss(crossed, other))


def test_masks_of_dense_locations():
    """A mask of the padding stays; locations on unknown classes go."""
    match = ClassMatch(OURS, COCO)
    inside = torch.tensor([True, True, True, False, True, True])
    knowledge = dict(
        student_dense_logits=torch.zeros(6, len(OURS)),
        dense_foreground=torch.tensor([False, True, True, False, True, False]),
        dense_mask=inside,
        labels=torch.tensor([0, 1, 3]),  # the second is the kiosk
    )
    for mask in (inside, None):
        cut = match(dict(knowledge, dense_mask=mask))
        expected = torch.ones(6, dtype=bool) if mask is None else mask.clone()
        expected[2] = False
        assert torch.equal(cut['dense_mask'], expected)
        assert cut['dense_foreground'].tolist() == [0, 1, 0, 0, 1, 0]
        assert cut['labels'].tolist() == [0, 2]


def test_class_means_of_a_dense_head_are_in_our_order(shapes, tmp_path):
    """A teacher of another order and one class fewer: its rows move."""
    other = (*CLASSES[-1:0:-1], 'something')
    spec = tiny_detector('gfl', 50, len(other))
    teacher = save_teacher(spec, tmp_path / 't.pth', other)
    dense = dict(
        type='DenseDistiller',
        losses=dict(loss_fdr=dict(type='FDRCosineLoss')),
        centroids=str(tmp_path / 'bank.npz'),
    )
    pair = tiny_pair(
        tmp_path,
        student=tiny_detector('gfl', num_classes=NUM),
        teacher=spec,
        distillers=dict(dense=dense),
    )
    pair.update(teacher=teacher, classes=CLASSES)
    cfg = tiny_run(pair, shapes, '', CLASSES)
    init_default_scope('mmdet')
    distiller = MODELS.build(cfg.model).distill['dense']
    network, seen = distiller.teacher.model, []
    handles = [
        network.bbox_head.gfl_cls.register_forward_pre_hook(
            lambda _, args: seen.append(args[0].permute(0, 2, 3, 1))
        ),
        network.bbox_head.loss_cls.register_forward_pre_hook(
            lambda _, args: seen.append(args[1][0])
        ),
    ]
    bank = compute_bank(distiller, cfg, 'gt')
    for handle in handles:
        handle.remove()
    embed = torch.cat([x.flatten(0, 2) for x in seen if x.ndim == 4])
    labels = torch.cat([x for x in seen if x.ndim == 1]).numpy()
    embed = embed.double().numpy()
    assert len(embed) == len(labels)
    assert bank.counts[0] == 0  # the teacher does not know it
    for row, name in enumerate(CLASSES):
        if name not in other or not (labels == other.index(name)).any():
            assert bank.counts[row] == 0
            continue
        own = labels == other.index(name)
        assert bank.counts[row] == own.sum()
        np.testing.assert_allclose(
            bank.centroids[row], embed[own].mean(0), rtol=1e-5, atol=1e-7
        )
    assert bank.counts.sum() > 0


def test_maps_need_no_class_in_common(tmp_path):
    """A teacher of other things can still show its maps."""
    teacher = save_teacher(
        tiny_detector('retinanet', 50, 2), tmp_path / 't.pth', ('ace', 'king')
    )
    feats = dict(
        type='FeatureDistiller', losses=dict(loss_pkd=dict(type='PKDLoss'))
    )
    student = tiny_detector('retinanet', num_classes=len(OURS))
    losses, _ = step(build(student, teacher, dict(feats=feats)))
    assert losses['feats.loss_pkd'] > 0
    dense = dict(
        type='DenseDistiller', losses=dict(loss_kd=dict(type='KDLoss'))
    )
    with pytest.raises(UserError, match='no class in common'):
        build(student, teacher, dict(feats=feats, dense=dense))
