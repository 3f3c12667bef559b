"""What SRRL and RKD ask of the distillers, in tiny real pairs."""

import copy

import pytest
import torch
from mmengine.registry import init_default_scope
from mmpretrain.structures import DataSample
from test_distillers.test_logit import VIT, batch_of, build, losses_of
from tiny import (
    KD,
    ND,
    NUM,
    pair_cfg,
    tiny_spec,
    without_objects,
    write_weights,
)
from tiny import build as build_detectors
from tiny import losses_of as detector_losses
from torch.nn import functional as F

from kd_det.errors import UserError
from kd_det.registry import MODELS
from kd_det.testing import (
    tiny_batch,
    tiny_classifier,
    tiny_classifier_pair,
    tiny_pair,
)

SRRL = dict(
    loss_fm=dict(type='FeatureMatchingLoss'),
    loss_sr=dict(type='SoftmaxRegressionLoss'),
)
RKD = dict(
    loss_rkd_d=dict(type='RKDDistanceLoss', loss_weight=25.0),
    loss_rkd_a=dict(type='RKDAngleLoss', loss_weight=50.0),
)
ON_MAP = dict(student_map=dict(type='ConvAdaptor'))
ON_VECTOR = dict(student_embed=dict(type='LinearAdaptor'))


def knowledge_of(distiller):
    seen = {}
    distiller.register_forward_pre_hook(lambda _, args: seen.update(args[0]))
    return seen


class TestClassifiers:
    def test_map_is_adapted_and_then_pooled(self, tmp_path):
        """An R-18 (map 4x4, 32 channels) and an R-50 (128 wide)."""
        model = build(tmp_path, SRRL, connectors=ON_MAP)
        distiller = model.distill['logit']
        seen = knowledge_of(distiller)
        batch = batch_of()
        losses = losses_of(model, batch)
        inputs = model.data_preprocessor(copy.deepcopy(batch))['inputs']
        adaptor = distiller.connectors['student_map']
        assert (adaptor.in_channels, adaptor.out_channels) == (32, 128)
        feature_map = model.student.backbone(inputs)[-1]
        conv, norm, _ = adaptor.blocks[0]
        adapted = F.conv2d(feature_map, conv.weight)
        adapted = F.batch_norm(
            adapted, None, None, norm.weight, norm.bias, training=True
        )
        embed = adapted.relu().mean((2, 3))
        torch.testing.assert_close(seen['student_embed'], embed)
        theirs = model.teacher.model
        target = theirs.backbone(inputs)[-1].mean((2, 3))
        layer = theirs.head.fc
        torch.testing.assert_close(
            losses['logit.loss_fm'], F.mse_loss(embed, target)
        )
        torch.testing.assert_close(
            losses['logit.loss_sr'], F.mse_loss(layer(embed), layer(target))
        )
        # the logits are still those of the student's own feature
        own = model.student.head.fc(feature_map.mean((2, 3)))
        torch.testing.assert_close(seen['student_logits'], own)

    @pytest.mark.parametrize('connectors', [ON_MAP, ON_VECTOR])
    def test_q8_who_gets_a_gradient(self, tmp_path, connectors):
        model = build(tmp_path, SRRL, connectors=connectors)
        losses = losses_of(model, batch_of())
        state = copy.deepcopy(model.teacher.state_dict())
        (losses['logit.loss_fm'] + losses['logit.loss_sr']).backward()
        assert all(p.grad is None for p in model.teacher.parameters())
        for key, value in model.teacher.state_dict().items():
            assert torch.equal(value, state[key]), key
        for name, p in model.student.backbone.named_parameters():
            assert p.grad is not None, name
        assert model.student.backbone.conv1.weight.grad.any()
        for name, p in model.distill.named_parameters():
            assert p.grad.abs().max() > 0, name
        # its own class layer learns from the labels alone
        assert all(p.grad is None for p in model.student.head.parameters())

    def test_softmax_regression_alone_teaches_the_backbone(self, tmp_path):
        """Through the teacher's layer, which is no copy."""
        sr = dict(loss_sr=SRRL['loss_sr'])
        model = build(tmp_path, sr, connectors=ON_MAP)
        losses_of(model, batch_of())['logit.loss_sr'].backward()
        assert model.student.backbone.conv1.weight.grad.abs().max() > 0
        names = [name for name, _ in model.distill.named_parameters()]
        assert all('.connectors.student_map.' in name for name in names)
        assert len(names) == 3

    def test_checkpoint_has_the_student_under_its_own_keys(self, tmp_path):
        model = build(tmp_path, SRRL, connectors=ON_MAP)
        extra = set(model.state_dict()) - set(model.student.state_dict())
        start = 'distill.logit.connectors.student_map.blocks.0.'
        assert len(extra) == 6 and all(k.startswith(start) for k in extra)

    def test_channels_of_a_map_that_is_not_as_wide_as_the_class_layer(
        self, tmp_path
    ):
        student = tiny_classifier()
        student['head'] = dict(
            type='StackedLinearClsHead',
            num_classes=10,
            in_channels=32,
            mid_channels=[16],
        )
        model = build(tmp_path, SRRL, student, connectors=ON_MAP)
        assert model.distill['logit'].widths == (16, 128)
        adaptor = model.distill['logit'].connectors['student_map']
        assert adaptor.in_channels == 32
        assert losses_of(model, batch_of())['logit.loss_sr'] > 0

    def test_equal_widths_need_no_connector(self, tmp_path):
        student = tiny_classifier(base_channels=16)
        model = build(tmp_path, SRRL, student)
        seen = knowledge_of(model.distill['logit'])
        losses_of(model, batch_of())
        assert 'student_map' not in seen
        layer = model.teacher.model.head.fc
        torch.testing.assert_close(
            seen['cross_logits'], layer(seen['student_embed'])
        )

    def test_without_any_map_the_vector_is_left(self, tmp_path):
        model = build(tmp_path, SRRL, VIT, connectors=ON_VECTOR)
        assert losses_of(model, batch_of())['logit.loss_sr'] > 0
        student = copy.deepcopy(VIT)
        model = build(tmp_path, SRRL, student, connectors=ON_MAP)
        with pytest.raises(UserError, match='LinearAdaptor'):
            losses_of(model, batch_of())

    @pytest.mark.parametrize(
        ('connectors', 'message'),
        [
            ({**ON_MAP, **ON_VECTOR}, "produce the student's embedding; keep"),
            (dict(student_mpa=dict(type='X')), "did you mean 'student_map'"),
            (
                dict(student_map=dict(type='LinearAdaptor', in_channels=0)),
                'LinearAdaptor: in_channels=0',
            ),
            (None, '32 wide, .*128; add connectors'),
        ],
    )
    def test_refused(self, tmp_path, connectors, message):
        with pytest.raises(UserError, match=message):
            build(tmp_path, SRRL, connectors=connectors)

    def test_no_loss_can_ask_for_the_map(self, tmp_path):
        fields = MODELS.get('LogitDistiller').provides
        assert not {'student_map', 'teacher_map'} & {*fields}

    def test_relations_of_different_widths(self, tmp_path):
        model = build(tmp_path, RKD)
        seen = knowledge_of(model.distill['logit'])
        losses = losses_of(model, batch_of())
        assert seen['student_embed'].shape == (4, 32)
        assert seen['teacher_embed'].shape == (4, 128)
        assert losses['logit.loss_rkd_d'] > 0
        losses['logit.loss_rkd_a'].backward()
        assert model.student.backbone.conv1.weight.grad.abs().max() > 0

    def test_relations_do_not_excuse_a_loss_that_compares(self, tmp_path):
        with pytest.raises(UserError, match='32 wide, .*128'):
            build(tmp_path, {**RKD, 'loss_fm': SRRL['loss_fm']})


class TestMaps:
    """AT and FitNet on an R-18 (4, 8 channels) and an R-50 (16, 32)."""

    stages = ['backbone.layer1', 'backbone.layer2']
    at = dict(loss_at=dict(type='AttentionTransferLoss', loss_weight=1000.0))
    hint = dict(loss_hint=dict(type='FitNetLoss', loss_weight=100.0))

    def build(self, folder, losses, **kwargs):
        init_default_scope('mmpretrain')
        taps = dict(student=self.stages, teacher=self.stages)
        spec = dict(
            type='FeatureDistiller', taps=taps, losses=losses, **kwargs
        )
        cfg = tiny_classifier_pair(folder, dict(feats=spec))
        torch.manual_seed(0)
        return MODELS.build(cfg).train()

    def test_attention_needs_no_connector(self, tmp_path):
        model = self.build(tmp_path, self.at)
        value = losses_of(model, batch_of())['feats.loss_at']
        value.backward()
        assert value > 0 and len(model.distill['feats'].connectors) == 0
        assert model.student.backbone.conv1.weight.grad.abs().max() > 0

    def test_hints_do(self, tmp_path):
        connectors = dict(student_feats=dict(type='ConvAdaptor'))
        model = self.build(
            tmp_path, {**self.at, **self.hint}, connectors=connectors
        )
        adaptor = model.distill['feats'].connectors['student_feats']
        assert adaptor.in_channels == [4, 8]
        assert adaptor.out_channels == [16, 32]
        losses = losses_of(model, batch_of())
        losses['feats.loss_hint'].backward()
        assert losses['feats.loss_at'] > 0
        assert all(p.grad.abs().max() > 0 for p in adaptor.parameters())


def detector(width=48):
    student = tiny_spec()
    student['roi_head']['bbox_head']['fc_out_channels'] = width
    return student


def detectors(teacher, losses, connectors=None, student=None, bank=None):
    cfg = pair_cfg(teacher, losses, bank, student)
    if connectors:
        cfg.distillers.roi.connectors = connectors
    return build_detectors(cfg)


class TestRegions:
    """The teacher's box head is 32 wide."""

    def test_cross_logits(self, teacher, batch):
        model = detectors(teacher, SRRL, ON_VECTOR, detector())
        distiller = model.distill['roi']
        seen, raw = knowledge_of(distiller), {}
        distiller.connectors['student_embed'].register_forward_pre_hook(
            lambda _, args: raw.update(embed=args[0])
        )
        losses = detector_losses(model, batch)
        block = distiller.connectors['student_embed'].block
        assert raw['embed'].shape == (32, 48)
        torch.testing.assert_close(seen['student_embed'], block(raw['embed']))
        layer = model.teacher.model.roi_head.bbox_head.fc_cls
        torch.testing.assert_close(
            seen['cross_logits'], layer(seen['student_embed'])
        )
        torch.testing.assert_close(
            losses['roi.loss_sr'],
            F.mse_loss(seen['cross_logits'], seen['teacher_logits']),
        )
        losses['roi.loss_sr'].backward()
        assert all(p.grad is None for p in model.teacher.parameters())
        head = model.student.roi_head.bbox_head
        assert head.shared_fcs[0].weight.grad.abs().max() > 0
        assert head.fc_cls.weight.grad is None

    boxes = dict(loss_box=dict(type='BoxRegressionLoss', loss_weight=2.0))

    @pytest.mark.parametrize('agnostic', [False, True])
    def test_box_layer(self, teacher, batch, agnostic, tmp_path):
        """Of RoIs on objects, the deltas of the teacher's best class."""
        spec = teacher
        if agnostic:
            spec = tiny_spec(50)
            head = spec['roi_head']['bbox_head']
            head['reg_class_agnostic'] = True
            spec = write_weights(spec, tmp_path / 'a.pth', lambda state: None)
        model = detectors(spec, {**SRRL, **self.boxes}, ON_VECTOR, detector())
        seen = knowledge_of(model.distill['roi'])
        theirs = model.teacher.model
        with torch.no_grad():  # deltas begin near 0
            theirs.roi_head.bbox_head.fc_reg.weight.mul_(300)
        inputs = {}
        theirs.roi_head.bbox_head.register_forward_hook(
            lambda _, args, out: inputs.update(logits=out[0], deltas=out[1])
        )
        losses = detector_losses(model, batch)
        layer = theirs.roi_head.bbox_head.fc_reg
        crossed = layer(seen['student_embed'])
        values = []
        for row in seen['foreground'].nonzero()[:, 0].tolist():
            best = inputs['logits'][row, :-1].argmax().item()
            four = slice(0, 4) if agnostic else slice(4 * best, 4 * best + 4)
            gap = crossed[row, four] - inputs['deltas'][row, four]
            gap = gap.abs()
            each = torch.where(gap < 1, gap**2 / 2, gap - 0.5)
            values.append(each.mean())
        assert len(values) > 0
        expected = 2 * torch.stack(values).mean()
        torch.testing.assert_close(losses['roi.loss_box'], expected)
        assert expected > 1e-4
        losses['roi.loss_box'].backward()
        assert all(p.grad is None for p in theirs.parameters())
        head = model.student.roi_head.bbox_head
        assert head.shared_fcs[0].weight.grad.abs().max() > 0
        assert head.fc_reg.weight.grad is None

    def test_box_layer_without_objects(self, teacher, batch):
        model = detectors(teacher, self.boxes, ON_VECTOR)
        losses = detector_losses(model, without_objects(batch, 0, 1))
        assert losses['roi.loss_box'] == 0
        losses['roi.loss_box'].backward()
        with pytest.raises(UserError, match='48 wide'):
            detectors(teacher, self.boxes, student=detector())

    @pytest.mark.parametrize('family', ['cascade_rcnn', 'double_head'])
    def test_box_layers_of_other_heads(self, family, tmp_path):
        roi = dict(type='RoIDistiller', losses=self.boxes)
        cfg = tiny_pair(
            tmp_path,
            student=family,
            teacher=family,
            distillers=dict(roi=roi),
        )
        if family == 'double_head':
            with pytest.raises(UserError, match='a separate branch'):
                build_detectors(cfg)
            return
        model = build_detectors(cfg)
        batch = tiny_batch(model, size=(96, 128))
        value = detector_losses(model, batch)['roi.loss_box']
        value.backward()
        assert value > 0

    def test_equal_widths_need_no_connector(self, teacher, batch):
        model = detectors(teacher, SRRL)
        assert detector_losses(model, batch)['roi.loss_sr'] > 0

    def test_other_widths_do(self, teacher):
        fix = r"48 wide, .* 32; set .*=32 or add .*type='LinearAdaptor'"
        for losses in (SRRL, dict(loss_sr=SRRL['loss_sr'])):
            with pytest.raises(UserError, match=fix):
                detectors(teacher, losses, student=detector())

    def test_relations_of_different_widths(self, teacher, batch):
        options = dict(background='foreground', max_samples=8)
        losses = {k: dict(cfg, **options) for k, cfg in RKD.items()}
        model = detectors(teacher, {**KD, **losses}, student=detector())
        seen = knowledge_of(model.distill['roi'])
        values = detector_losses(model, batch)
        rows = seen['foreground'].sum()
        assert 8 <= rows < len(seen['rois'])
        # the annotated boxes are there twice: as proposals and as they are
        group = model.distill['roi'].losses['loss_rkd_a']
        full = MODELS.get('RKDAngleLoss')(loss_weight=50.0)
        ours, theirs = seen['student_embed'], seen['teacher_embed']
        assert (
            group(ours, theirs, seen['foreground'], seen['rois'])
            == (values['roi.loss_rkd_a'])
        )
        assert values['roi.loss_rkd_a'] != full(ours, theirs)
        values['roi.loss_rkd_a'].backward()
        weight = model.student.roi_head.bbox_head.shared_fcs[0].weight
        assert weight.grad.isfinite().all() and weight.grad.abs().max() > 0

    @pytest.mark.parametrize('images', [(0,), (0, 1)])
    def test_images_without_objects(self, teacher, batch, images):
        losses = {
            k: dict(cfg, background='foreground', max_samples=8)
            for k, cfg in RKD.items()
        }
        connectors = ON_VECTOR
        model = detectors(teacher, {**SRRL, **losses}, connectors)
        values = detector_losses(model, without_objects(batch, *images))
        if len(images) == 2:
            assert values['roi.loss_rkd_d'] == values['roi.loss_rkd_a'] == 0
        total = sum(v for k, v in values.items() if k.startswith('roi.'))
        total.backward()
        for p in model.student.roi_head.bbox_head.shared_fcs.parameters():
            assert p.grad.isfinite().all()

    def test_relations_draw_nothing(self, teacher, batch):
        """The student samples as it does without them."""
        losses = {k: dict(cfg, max_samples=8) for k, cfg in RKD.items()}
        states = []
        for chosen in (KD, {**KD, **losses}):
            model = detectors(teacher, chosen)
            detector_losses(model, batch)
            states.append(torch.get_rng_state())
        assert torch.equal(*states)

    def test_nd_still_needs_equal_widths(self, teacher, bank):
        with pytest.raises(UserError, match='48 wide'):
            detectors(teacher, ND, student=detector(), bank=bank)
        losses = {**ND, **SRRL}
        model = detectors(teacher, losses, ON_VECTOR, detector(), bank)
        assert model.distill['roi'].num_rows == NUM + 1


def test_labels_do_not_matter(tmp_path):
    """SRRL and RKD never see them: mixed ones pass."""
    student = tiny_classifier()
    student['train_cfg'] = dict(augments=[dict(type='Mixup', alpha=0.8)])
    losses = {**SRRL, **RKD}
    model = build(tmp_path, losses, student, connectors=ON_MAP)
    batch = batch_of()
    batch['data_samples'] = [DataSample().set_gt_label(9) for _ in range(4)]
    for key, value in losses_of(model, batch).items():
        assert value.isfinite() and value > 0, key
