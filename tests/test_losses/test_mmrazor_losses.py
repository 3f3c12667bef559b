"""mmrazor's losses in our distillers: what runs, and what it gives."""

import pytest
import torch
from razor import (
    LOGITS,
    PAGE,
    classifier_pair,
    draw,
    knowledge_of,
    mmrazor_loss,
    rows,
)
from test_distillers.test_logit import batch_of as images_of
from test_distillers.test_logit import losses_of as classifier_losses
from tiny import NUM, build, losses_of, pair_cfg, total

from kd_det import losses as our_losses
from kd_det.compat import mmrazor as bridge
from kd_det.distillers import FeatureDistiller
from kd_det.errors import UserError
from kd_det.losses import mmrazor
from kd_det.losses.mmrazor import UNSUPPORTED

NAN = float('nan')
SWAPPED = dict(preds_S='teacher_feats', preds_T='student_feats')
# what FBKD and FT compare is not the maps
CONNECTORS = {
    'FBKDLoss': dict(
        student_feats=dict(type='mmrazor.FBKDStudentConnector'),
        teacher_feats=dict(type='mmrazor.FBKDTeacherConnector'),
    ),
    'FTLoss': dict(
        student_feats=dict(type='mmrazor.Translator', out_channel=4),
        teacher_feats=dict(
            type='mmrazor.Paraphraser', out_channel=4, phase='train'
        ),
    ),
    'MGDLoss': dict(student_feats=dict(type='mmrazor.MGDConnector')),
}


def test_every_loss_is_documented_or_refused():
    """A row says how it is used, or in the list why it is not."""
    run = {*rows('FeatureDistiller'), *rows('LogitDistiller')}
    assert run | UNSUPPORTED.keys() == bridge.parts(bridge.LOSSES).keys()
    assert not run & UNSUPPORTED.keys()
    text = PAGE.read_text()
    for kind in UNSUPPORTED:
        assert f'- `mmrazor.{kind}`' in text, kind
        with pytest.raises(UserError, match=f'mmrazor.{kind} cannot be used'):
            mmrazor_loss(kind)


def check_losses(model, seen, losses, parameters):
    """Each is mmrazor's own value on the fields, and trains the student."""
    known, count = bridge.parts(bridge.LOSSES), 0
    for name, distiller in model.distill.items():
        for key in distiller.losses:
            cfg = rows(type(distiller).__name__)[key.removeprefix('loss_')]
            kind = cfg.pop('type').removeprefix('mmrazor.')
            inputs = cfg.pop('inputs')
            fields = [seen[name][field] for field in inputs.values()]
            if torch.is_tensor(fields[0]):
                fields = [(field,) for field in fields]
            expected = sum(
                known[kind](**cfg)(**dict(zip(inputs, level)))
                for level in zip(*fields, strict=True)
            )
            value = losses[f'{name}.{key}']
            assert value.shape == () and value > 0, key
            torch.testing.assert_close(value, expected)
            grads = torch.autograd.grad(
                value, parameters, retain_graph=True, allow_unused=True
            )
            moved = [g for g in grads if g is not None]
            assert all(g.isfinite().all() for g in moved), key
            assert any(g.abs().max() > 0 for g in moved), key
            count += 1
    return count


@pytest.fixture(scope='module')
def detector(teacher):
    """A pair with every documented loss on maps."""
    cfg, distillers = pair_cfg(teacher), {}
    for kind, loss in rows('FeatureDistiller').items():
        distillers[kind] = dict(
            type='FeatureDistiller',
            losses={f'loss_{kind}': loss},
            connectors=CONNECTORS.get(kind),
        )
    cfg.distillers = distillers
    return build(cfg)


def test_losses_on_maps(detector, batch):
    seen = knowledge_of(detector)
    losses = losses_of(detector, batch)
    neck = [*detector.student.neck.parameters()]
    count = check_losses(detector, seen, losses, neck)
    assert count == len(rows('FeatureDistiller')) >= 10
    total(detector, losses).backward()
    for kind in CONNECTORS:
        connector = detector.distill[kind].connectors['student_feats']
        assert any(
            p.grad is not None and p.grad.abs().max() > 0
            for p in connector.levels[0].parameters()
        )


def test_losses_on_logits_and_embeddings(tmp_path):
    losses = {f'loss_{k}': v for k, v in rows('LogitDistiller').items()}
    model = classifier_pair(tmp_path, losses)
    seen = knowledge_of(model)
    values = classifier_losses(model, images_of())
    backbone = [*model.student.backbone.parameters()]
    assert check_losses(model, seen, values, backbone) == len(losses) >= 7


def test_a_loss_on_the_rois(teacher, batch):
    loss = dict(type='mmrazor.KLDivergence', tau=2.0, inputs=LOGITS)
    ours = dict(type='KDLoss', tau=2.0)
    model = build(pair_cfg(teacher, dict(loss_theirs=loss, loss_ours=ours)))
    losses = losses_of(model, batch)
    assert losses['roi.loss_theirs'] > 0
    torch.testing.assert_close(
        losses['roi.loss_theirs'], losses['roi.loss_ours']
    )


@pytest.mark.parametrize(
    ('theirs', 'arguments', 'ours', 'our_arguments'),
    [
        ('KLDivergence', dict(tau=4.0), 'KDLoss', dict(tau=4.0)),
        ('DKDLoss', dict(tau=4.0, beta=8.0), 'DKDLoss', dict(tau=4.0)),
        ('DISTLoss', dict(tau=2.0), 'DISTLoss', dict(tau=2.0)),
        (
            'DistanceWiseRKD',
            dict(loss_weight=1, with_l2_norm=False),
            'RKDDistanceLoss',
            {},
        ),
        (
            'AngleWiseRKD',
            dict(loss_weight=1, with_l2_norm=False),
            'RKDAngleLoss',
            {},
        ),
    ],
)
def test_what_is_equal_to_ours(theirs, arguments, ours, our_arguments):
    student, teacher = draw(6, 10), draw(6, 10, seed=1)
    labels = torch.tensor([0, 9, 3, 3, 1, 7])[: 6 * (theirs == 'DKDLoss')]
    args = (student, teacher, labels) if len(labels) else (student, teacher)
    expected = getattr(our_losses, ours)(**our_arguments)(*args)
    found = bridge.parts(bridge.LOSSES)[theirs](**arguments)
    torch.testing.assert_close(found(*args), expected)


def test_weight_and_scale_are_applied_once():
    feats = dict(
        student_feats=draw(2, 3, 4, 4), teacher_feats=draw(2, 3, 4, 4, seed=1)
    )
    plain = mmrazor_loss('PKDLoss')(**feats)
    loss = mmrazor_loss('PKDLoss', loss_weight=6)
    torch.testing.assert_close(loss(**feats), 6 * plain)
    loss.scale = 0.5  # as LossScheduleHook writes it
    torch.testing.assert_close(loss(**feats), 3 * plain)
    embeds = dict(inputs=dict(preds_S='s', preds_T='t'))
    ours = mmrazor_loss('DistanceWiseRKD', **embeds)
    pair = draw(5, 8), draw(5, 8, seed=1)
    expected = bridge.parts(bridge.LOSSES)['DistanceWiseRKD']()(*pair)
    torch.testing.assert_close(ours(s=pair[0], t=pair[1]), expected)


def test_levels_are_added_up():
    student = draw(2, 3, 8, 8), draw(2, 5, 4, 4)
    teacher = draw(2, 3, 8, 8, seed=1), draw(2, 5, 4, 4, seed=1)
    for kind in ('ChannelWiseDivergence', 'PKDLoss'):
        theirs = bridge.parts(bridge.LOSSES)[kind]()
        expected = theirs(student[0], teacher[0])
        expected = expected + theirs(student[1], teacher[1])
        loss = mmrazor_loss(kind)
        value = loss(student_feats=student, teacher_feats=teacher)
        torch.testing.assert_close(value, expected)
    # the tuples that PKD alone takes
    torch.testing.assert_close(theirs(student, teacher), expected)
    with pytest.raises(UserError, match="'teacher_feats': 1.*same number"):
        loss(student_feats=student, teacher_feats=teacher[:1])


def test_the_mean_of_what_is_not_reduced():
    pair = dict(student_logits=draw(4, 5), teacher_logits=draw(4, 5, seed=1))
    none = mmrazor_loss('KLDivergence', reduction='none', inputs=LOGITS)
    mean = mmrazor_loss('KLDivergence', reduction='mean', inputs=LOGITS)
    torch.testing.assert_close(none(**pair), mean(**pair))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('kind', ['PKDLoss', 'ChannelWiseDivergence'])
def test_half_precision_is_computed_in_float32(kind, dtype):
    student, teacher = (
        (draw(2, 3, 8, 8, seed=seed) * 100).to(dtype) for seed in (0, 1)
    )
    student.requires_grad_()
    loss = mmrazor_loss(kind)
    with torch.autocast('cpu', dtype):
        value = loss(student_feats=(student,), teacher_feats=(teacher,))
    assert value.dtype == torch.float32
    expected = loss(
        student_feats=(student.float(),), teacher_feats=(teacher.float(),)
    )
    torch.testing.assert_close(value, expected)
    value.backward()
    assert student.grad.dtype == dtype and student.grad.isfinite().all()


def test_an_empty_batch():
    student = torch.zeros(0, 5, requires_grad=True)
    loss = mmrazor_loss('KLDivergence', inputs=LOGITS)
    value = loss(student_logits=student, teacher_logits=torch.zeros(0, 5))
    value.backward()
    assert value == 0 and student.grad.shape == (0, 5)


@pytest.mark.parametrize(
    ('kind', 'arguments', 'message'),
    [
        ('PKDLos', {}, "unknown type.*did you mean 'mmrazor.PKDLoss'"),
        ('PKDLoss', dict(weight=1), "'weight'; accepted are loss_weight"),
        ('DKDLoss', dict(reduction='avg'), 'gets avg.; accepted are tau'),
        ('PKDLoss', dict(inputs=None), r'inputs=None.*preds_S, preds_T'),
        (
            'PKDLoss',
            dict(inputs=dict(pred_S='student_feats')),
            "'pred_S'.*did you mean 'preds_S'",
        ),
        ('PKDLoss', dict(inputs=dict(preds_S=3)), 'preds_S=3; a field'),
        ('PKDLoss', dict(inputs=SWAPPED), 'use a field of the student'),
        (
            'PKDLoss',
            dict(
                inputs=dict(preds_S='student_feats', preds_T='student_feats')
            ),
            "preds_T='student_feats'.* use a field of the teacher",
        ),
        (
            'L1Loss',
            dict(inputs=dict(s_feature='teacher_feats', t_feature='t')),
            "s_feature='teacher_feats'.* use a field of the student",
        ),
        (
            'WSLD',
            dict(num_classes=3, inputs=dict(teacher='student_logits')),
            "teacher='student_logits'.* use a field of the teacher",
        ),
        ('PKDLoss', dict(loss_weight=NAN), 'loss_weight=nan; a finite'),
        ('PKDLoss', dict(loss_weight='6'), "loss_weight='6'; a finite"),
        (
            'DKDLoss',
            dict(inputs=LOGITS),
            "no inputs for 'gt_labels'.*preds_S, preds_T, gt_labels",
        ),
    ],
)
def test_wrong_losses(kind, arguments, message):
    with pytest.raises(UserError, match=message) as caught:
        mmrazor_loss(kind, **arguments)
    assert str(caught.value).startswith('loss_x')
    assert str(caught.value).count('. ') == 0


def test_a_field_that_nobody_provides():
    inputs = dict(preds_S='student_feat', preds_T='teacher_feats')
    loss = dict(type='mmrazor.PKDLoss', inputs=inputs)
    message = "loss_pkd.*'student_feat'; did you mean 'student_feats'"
    with pytest.raises(UserError, match=message):
        FeatureDistiller(losses=dict(loss_pkd=loss))


def test_shapes_that_cannot_be_compared():
    """mmrazor's own assertion is empty."""
    loss = mmrazor_loss('ChannelWiseDivergence')
    with pytest.raises(UserError, match=r'\(2, 3, 8, 8\).*AssertionError'):
        loss(
            student_feats=(draw(2, 3, 8, 8),),
            teacher_feats=(draw(2, 3, 4, 4),),
        )


def test_another_part_of_mmrazor_is_of_the_wrong_type(teacher):
    cfg = pair_cfg(teacher)
    cfg.distillers = dict(x=dict(type='mmrazor.ConfigurableDistiller'))
    with pytest.raises(UserError, match='distillers.x is of the wrong type'):
        build(cfg)


def test_wsld_with_another_number_of_classes(teacher):
    loss = dict(
        type='mmrazor.WSLD',
        inputs=dict(
            student='student_logits',
            teacher='teacher_logits',
            gt_labels='labels',
        ),
    )
    with pytest.raises(UserError, match=f'set num_classes={NUM + 1}'):
        build(pair_cfg(teacher, dict(loss_wsld=loss)))


@pytest.mark.parametrize('reduction', ['mean', 'none', 'batchmean', 'sum'])
def test_dkd_warns_where_it_sums(reduction, monkeypatch):
    """It sums, N times the mean over samples, for three of the four."""
    found = bridge.parts(bridge.LOSSES)['DKDLoss']
    args = draw(6, 10), draw(6, 10, seed=1), torch.tensor([0, 9, 3, 3, 1, 7])
    factor = 1 if reduction == 'batchmean' else 6
    torch.testing.assert_close(
        found(reduction=reduction)(*args), factor * found()(*args)
    )
    said = []
    monkeypatch.setattr(
        mmrazor, 'print_log', lambda text, *_, **__: said.append(text)
    )
    inputs = dict(LOGITS, gt_labels='labels')
    mmrazor_loss('DKDLoss', reduction=reduction, inputs=inputs)
    assert len(said) == (reduction in ('mean', 'none'))
    assert all('loss_x: ' in text and 'N times' in text for text in said)


def test_dkd_is_off_by_what_the_warning_says():
    """NK times the mean of the other classes, 2N that of the target."""
    found = bridge.parts(bridge.LOSSES)['DKDLoss']
    student, teacher = draw(6, 10), draw(6, 10, seed=1)
    labels = torch.tensor([0, 9, 3, 3, 1, 7])
    for part, entries in (('alpha', 2), ('beta', 10)):
        weights = dict(dict(alpha=0.0, beta=0.0), **{part: 1.0})
        summed = found(reduction='mean', **weights)
        asked = found(reduction='batchmean', **weights)
        torch.testing.assert_close(
            summed(student, teacher, labels),
            6 * entries * (asked(student, teacher, labels) / entries),
        )
