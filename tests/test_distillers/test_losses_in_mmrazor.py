"""Our losses in mmrazor's distillers give what they give in ours."""

import torch
from mmengine.registry import init_default_scope
from razor import both, classifier_pair, mmrazor_pair, record, save_bank
from test_distillers.test_logit import batch_of as images_of
from test_distillers.test_logit import losses_of as classifier_losses
from tiny import NUM, losses_of, tiny_spec, total

from kd_det import losses as our_losses
from kd_det.centroids import CentroidBank
from kd_det.testing import save_teacher, tiny_classifier


def test_our_losses_in_mmrazor_on_a_detector(teacher, batch, tmp_path):
    """Maps, and RoIs: the student's are the teacher's, handed over."""
    head = 'roi_head.bbox_head'
    recorders = dict(
        fpn=dict(type='ModuleOutputs', source='neck'),
        rois=dict(type='ModuleInputs', source='roi_head.bbox_roi_extractor'),
        embed=dict(type='ModuleInputs', source=f'{head}.fc_cls'),
        logits=dict(type='ModuleOutputs', source=f'{head}.fc_cls'),
        targets=dict(type='ModuleInputs', source=f'{head}.loss_cls'),
    )
    bank = save_bank(tmp_path / 'bank.npz', NUM + 1, 32)
    sample = 'mmdet.models.task_modules.samplers.base_sampler.BaseSampler'
    distiller = dict(
        type='ConfigurableDistiller',
        student_recorders=recorders,
        teacher_recorders=dict(
            recorders, centroids=dict(type='kd_det.Centroids', source=bank)
        ),
        # two images, sampled by the RPN and by the box head
        distill_deliveries=dict(
            rois=dict(
                type='MethodOutputs',
                max_keep_data=4,
                method_path=f'{sample}.sample',
            )
        ),
        distill_losses=dict(
            loss_pkd=dict(type='kd_det.PKDLoss'),
            loss_nd=dict(type='kd_det.NDLoss', loss_weight=1.5),
            loss_kd=dict(type='kd_det.KDLoss', tau=2.0),
        ),
        loss_forward_mappings=dict(
            loss_pkd=both('fpn', 'feats'),
            loss_kd=both('logits', 'logits'),
            loss_nd=dict(
                both('embed', 'embed', data_idx=0),
                centroids=record('centroids', False),
                labels=record('targets', True, data_idx=1),
            ),
        ),
    )
    model = mmrazor_pair(tiny_spec(), teacher, distiller)
    losses = losses_of(model, batch)
    total(model, losses).backward()

    def seen(name, student, index=None):
        side = model.distiller.teacher_recorders
        if student:
            side = model.distiller.student_recorders
        return side.get_recorder(name).get_record_data(0, index)

    assert torch.equal(seen('rois', True, 1), seen('rois', False, 1))
    expected = dict(
        pkd=our_losses.PKDLoss()(seen('fpn', True), seen('fpn', False)),
        kd=our_losses.KDLoss(tau=2.0)(
            seen('logits', True), seen('logits', False)
        ),
        nd=our_losses.NDLoss(loss_weight=1.5)(
            seen('embed', True, 0),
            seen('embed', False, 0),
            torch.from_numpy(CentroidBank.load(bank).centroids),
            seen('targets', True, 1),
        ),
    )
    for name, value in expected.items():
        assert value > 0
        torch.testing.assert_close(losses[f'distill.loss_{name}'], value)
    grads = [p.grad for p in model.architecture.parameters()]
    assert all(g.isfinite().all() for g in grads if g is not None)


def test_our_losses_in_mmrazor_on_a_classifier(tmp_path):
    student = tiny_classifier(18)
    teacher = save_teacher(
        tiny_classifier(18, base_channels=4), tmp_path / 't'
    )
    recorders = dict(
        embed=dict(type='ModuleInputs', source='head.fc'),
        logits=dict(type='ModuleOutputs', source='head.fc'),
        targets=dict(type='ModuleInputs', source='head.loss_module'),
    )
    bank = save_bank(tmp_path / 'bank.npz', 10, 32)
    labels = record('targets', True, data_idx=1)
    distiller = dict(
        type='ConfigurableDistiller',
        student_recorders=recorders,
        teacher_recorders=dict(
            recorders, centroids=dict(type='kd_det.Centroids', source=bank)
        ),
        distill_losses=dict(
            loss_nd=dict(type='kd_det.NDLoss'),
            loss_dkd=dict(type='kd_det.DKDLoss'),
            loss_dist=dict(type='kd_det.DISTLoss'),
        ),
        loss_forward_mappings=dict(
            loss_nd=dict(
                both('embed', 'embed', data_idx=0),
                centroids=record('centroids', False),
                labels=labels,
            ),
            loss_dkd=dict(both('logits', 'logits'), labels=labels),
            loss_dist=both('logits', 'logits'),
        ),
    )
    init_default_scope('mmpretrain')
    model = mmrazor_pair(student, teacher, distiller)
    losses = classifier_losses(model, images_of())
    pair = classifier_pair(
        tmp_path,
        dict(
            loss_nd=dict(type='NDLoss'),
            loss_dkd=dict(type='DKDLoss'),
            loss_dist=dict(type='DISTLoss'),
        ),
        centroids=bank,
        teacher=teacher,
    )
    pair.student.load_state_dict(model.architecture.state_dict())
    ours = classifier_losses(pair, images_of())
    for name in ('nd', 'dkd', 'dist'):
        value = losses[f'distill.loss_{name}']
        assert value > 0
        torch.testing.assert_close(value, ours[f'x.loss_{name}'])
    total(model, losses).backward()
