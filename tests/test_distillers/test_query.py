"""QueryDistiller on real DETRs: matches by brute force, and refusals."""

import copy
import itertools

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from tiny import build, losses_of

from kd_det.distillers.query import QueryDistiller, same_depth
from kd_det.distillers.query_head import probe_queries, score_logits
from kd_det.errors import UserError
from kd_det.models.spec import read_spec
from kd_det.registry import MODELS
from kd_det.testing import tiny_batch, tiny_detector, tiny_pair

NUM = 3
LOSSES = dict(
    loss_class=dict(type='kd_det.QueryKDLoss'),
    loss_box=dict(type='kd_det.QueryBoxLoss'),
)


def spec(family, depth=18, queries=3, **changes):
    return tiny_detector(family, depth, NUM) | dict(
        num_queries=queries, test_cfg=dict(max_per_img=queries), **changes
    )


def pair(folder, student='dino', teacher=None, ours=3, theirs=4, **kwargs):
    """Two DETRs whose queries say something."""
    own = dict(type='QueryDistiller', losses=LOSSES)
    cfg = tiny_pair(
        folder,
        student=spec(student, 18, ours),
        teacher=spec(teacher or student, 50, theirs),
        distillers=dict(query=dict(own, **kwargs)),
    )
    model = build(cfg)
    with torch.no_grad():
        for side in (model.student, model.teacher.model):
            for weight in side.bbox_head.parameters():
                weight.add_(torch.randn_like(weight), alpha=0.5)
    return model


def step(model, **kwargs):
    """Losses, the distiller's fields, and what both heads gave."""
    seen, given, outputs = {}, {}, {}
    student = model.student
    handles = [
        model.distill['query'].register_forward_pre_hook(
            lambda _, args: seen.update(args[0])
        ),
        student.bbox_head.loss_cls.register_forward_pre_hook(
            lambda _, args: given.setdefault('rows', []).append(args[0])
        ),
        student.bbox_head.register_forward_hook(
            lambda _, args, out: outputs.update(student=out)
        ),
        model.teacher.model.bbox_head.register_forward_hook(
            lambda _, args, out: outputs.update(teacher=out)
        ),
    ]
    batch = tiny_batch(model, size=(64, 96), num_classes=NUM, **kwargs)
    losses = losses_of(model, batch)
    for handle in handles:
        handle.remove()
    return losses, seen, given['rows'], outputs


def scores(logits):
    """Probabilities of the classes, as the head ranks its boxes."""
    logits = logits.detach().double().numpy()
    if logits.shape[-1] == NUM:
        return 1 / (1 + np.exp(-logits))
    p = np.exp(logits)
    return (p / p.sum(-1, keepdims=True))[..., :NUM]


def giou(a, b):
    low = [a[:2] - a[2:] / 2, b[:2] - b[2:] / 2]
    high = [a[:2] + a[2:] / 2, b[:2] + b[2:] / 2]
    shared = np.clip(np.minimum(*high) - np.maximum(*low), 0, None).prod()
    around = (np.maximum(*high) - np.minimum(*low)).prod()
    union = a[2:].prod() + b[2:].prod() - shared
    return shared / union - (around - union) / around


def cost(p, a, q, b, focus=1):
    """Of giving a query (p, a) of the student to one of the teacher."""
    kl = q * np.log(q / p) + (1 - q) * np.log((1 - q) / (1 - p))
    boxes = 5 * np.abs(a - b).sum() + 2 * (1 - giou(a, b))
    return q.max() ** focus * (kl.sum() + boxes)


def cheapest(ours, theirs, focus):
    """Rows of both sides in the cheapest assignment, by trying all."""
    count = min(len(ours[0]), len(theirs[0]))
    # a teacher with more queries is asked for those it is sure of
    sure = np.argsort(-theirs[0].max(1), kind='stable')[:count]
    tries = itertools.permutations(range(len(ours[0])), count)
    best = min(
        tries,
        key=lambda rows: sum(
            cost(ours[0][i], ours[1][i], theirs[0][j], theirs[1][j], focus)
            for i, j in zip(rows, sure)
        ),
    )
    return np.array(best), sure


@pytest.mark.parametrize(
    'family, counts, focus',
    [
        ('detr', (3, 4), 1.0),
        ('deformable_detr', (5, 3), 0.0),
        ('dino', (3, 4), 2.0),
    ],
)
def test_matches_by_brute_force(tmp_path, family, counts, focus):
    """Each layer and image; denoising queries are left out."""
    ours, theirs = counts
    model = pair(tmp_path, family, ours=ours, theirs=theirs, focus=focus)
    losses, seen, rows, outputs = step(model)
    ours, theirs = outputs['student'], outputs['teacher']
    layers, images = ours[0].shape[:2]
    count = min(counts)
    fields = [
        seen[f'{side}_query_{name}'].detach().view(layers, images, count, -1)
        for side in ('student', 'teacher')
        for name in ('logits', 'boxes')
    ]
    for layer, image in itertools.product(range(layers), range(images)):
        own = rows[layer].view(images, counts[0], -1)[image]  # in its loss
        boxes = ours[1][layer, image, -counts[0] :].detach().double().numpy()
        mine = scores(own), boxes
        other = [part[layer, image] for part in theirs]
        other = scores(other[0]), other[1].double().numpy()
        best, sure = cheapest(mine, other, focus)
        weights = seen['query_weights'].view(layers, images, count)
        np.testing.assert_allclose(
            weights[layer, image],
            other[0][sure].max(1) ** focus,
            rtol=1e-4,
        )
        got = [field[layer, image].double() for field in fields]
        for values, want in zip(
            (got[0].sigmoid(), got[1], got[2].sigmoid(), got[3]),
            (mine[0][best], boxes[best], other[0][sure], other[1][sure]),
        ):
            np.testing.assert_allclose(values, want, rtol=1e-4, atol=1e-6)
    total = losses['query.loss_class'] + losses['query.loss_box']
    total.backward()
    for part in (model.student.decoder, model.student.backbone):
        grads = [p.grad for p in part.parameters() if p.grad is not None]
        assert any(g.any() for g in grads)
        assert all(g.isfinite().all() for g in grads)


def test_logits_of_scores():
    """Also where a softmax is sure: no infinity, bounded gradients."""
    logits = torch.randn(50, 4, dtype=torch.float64)
    p = logits.softmax(-1)[:, :-1]
    torch.testing.assert_close(score_logits(logits, True), p.logit())
    sure = torch.tensor([[90.0, 0, -90, 0], [-60, -60, -60, 60.0]])
    sure.requires_grad_()
    got = score_logits(sure, True)
    rest = 90 - np.log(2)
    expected = torch.tensor([[rest, -90, -180], [-120] * 3]).float()
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-4)
    got.sum().backward()
    assert sure.grad.isfinite().all()
    half = torch.randn(2, 3).half()
    assert score_logits(half, False).dtype == torch.float32


def test_another_detector_with_other_layers_teaches(tmp_path):
    """A DETR with softmax and one decoder layer from a DINO with two."""
    student = spec('detr')
    student['decoder']['num_layers'] = 1
    own = dict(type='QueryDistiller', losses=LOSSES)
    cfg = tiny_pair(
        tmp_path,
        student=student,
        teacher=spec('dino', 50, 4),
        distillers=dict(query=own),
    )
    model = build(cfg)
    assert model.distill['query'].layers == [1]
    _, seen, _, outputs = step(model)
    last = outputs['teacher'][0][-1].flatten(0, 1)
    got = seen['teacher_query_logits']
    assert got.shape == (2 * 3, NUM)
    assert (got[:, None] == last).all(-1).any(1).all()


def test_layers_of_the_same_relative_depth():
    assert same_depth(2, 2) == [0, 1]
    assert same_depth(3, 6) == [1, 3, 5]
    assert same_depth(6, 3) == [0, 0, 1, 1, 2, 2]
    assert same_depth(2, 3) == [1, 2]


def test_classes_are_matched_by_name(tmp_path):
    own = dict(type='QueryDistiller', losses=LOSSES)
    cfg = tiny_pair(
        tmp_path,
        student=spec('detr'),
        teacher=spec('deformable_detr', 50, 4),
        distillers=dict(query=own),
    )
    cfg.teacher.classes, cfg.classes = ('a', 'b', 'c'), ('c', 'x', 'A')
    model = build(cfg)
    _, seen, _, outputs = step(model)
    theirs = outputs['teacher'][0].flatten(0, 2)[:, [2, 0]]
    got = seen['teacher_query_logits']
    assert got.shape == seen['student_query_logits'].shape == (2 * 2 * 3, 2)
    assert (got[:, None] == theirs).all(-1).any(1).all()


def test_the_students_own_losses_are_untouched(tmp_path):
    """Bit by bit, with DINO's random denoising queries."""
    model = pair(tmp_path)
    plain = copy.deepcopy(model.student)
    batch = tiny_batch(model, size=(64, 96), num_classes=NUM)
    losses = losses_of(model, batch)
    alone = losses_of(plain, batch)
    assert {k for k in losses if not k.startswith('query.')} == {*alone}
    for name, value in alone.items():
        assert torch.equal(losses[name], value), name


def test_the_encoder_runs_once_for_two_distillers(tmp_path):
    feats = dict(
        type='FeatureDistiller',
        losses=dict(loss_pkd=dict(type='PKDLoss')),
        taps=dict(student=['encoder'], teacher=['encoder']),
    )
    query = dict(type='QueryDistiller', losses=LOSSES)
    cfg = tiny_pair(
        tmp_path,
        student=spec('deformable_detr'),
        teacher=spec('deformable_detr', 50),
        distillers=dict(feats=feats, query=query),
    )
    model, calls = build(cfg), []
    model.teacher.model.encoder.register_forward_hook(
        lambda *_: calls.append(1)
    )
    losses, *_ = step(model)
    assert len(calls) == 1
    assert losses['feats.loss_pkd'] > 0 and losses['query.loss_class'] > 0


def test_images_without_objects_and_training(tmp_path):
    """Some steps on the distillation alone lower it."""
    model = pair(tmp_path, 'deformable_detr')
    optimizer = torch.optim.Adam(model.student.parameters(), 1e-3)
    values = []
    for _ in range(12):
        losses, *_ = step(model, without_objects=(0, 1))
        total = losses['query.loss_class'] + losses['query.loss_box']
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        values.append(total.item())
    assert values[-1] < 0.8 * values[0]


def network(cfg, **changes):
    """A detector of MMDetection without weights."""
    init_default_scope('mmdet')
    own = dict(cfg=f'mmdet::{cfg}.py', **changes)
    with torch.device('meta'):
        return MODELS.build(read_spec(own, 'student')[0])


def test_heads_without_queries(tmp_path):
    with pytest.raises(UserError, match='FasterRCNN has none; use RoIDist'):
        build(
            tiny_pair(
                tmp_path,
                num_classes=NUM,
                distillers=dict(q=dict(type='QueryDistiller', losses=LOSSES)),
            )
        )
    with pytest.raises(UserError, match='MaskFormer has none'):
        cfg = 'maskformer/maskformer_r50_ms-16xb1-75e_coco'
        probe_queries(network(cfg), 'teacher')
    with pytest.raises(UserError, match="loss_kd .* requires 'student_log"):
        QueryDistiller(dict(loss_kd=dict(type='kd_det.KDLoss')))


def test_a_head_that_matches_other_queries(tmp_path):
    """Its loss leaves out the last of the queries it predicts for."""
    model = pair(tmp_path, 'deformable_detr')
    distiller, head = model.distill['query'], model.student.bbox_head
    plain = head.loss_by_feat

    def loss_by_feat(logits, boxes, *rest):
        return plain(logits[:, :, :-1], boxes[:, :, :-1], *rest)

    head.loss_by_feat = loss_by_feat
    distiller._ordered = False
    with pytest.raises(UserError, match='its last 3 queries, layer by layer'):
        step(model)


def test_wrong_focus():
    with pytest.raises(UserError, match='QueryDistiller: focus=-1; a finite'):
        QueryDistiller(LOSSES, focus=-1)


@pytest.mark.parametrize('costs', [(1, 5), 'abc', (1, -5, 2), (1, 5, None)])
def test_wrong_costs(costs):
    with pytest.raises(UserError, match='QueryDistiller: costs='):
        QueryDistiller(LOSSES, costs)
