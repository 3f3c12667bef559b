"""What the losses need of a teacher, run again."""

import pytest
import torch
from tiny import ND, build, count_calls, losses_of, open_hooks, pair_cfg

from kd_det.benchmark.teacher_calls import TeacherCalls

PKD = dict(type='FeatureDistiller', losses=dict(loss_pkd=dict(type='PKDLoss')))
SRRL = dict(loss_sr=dict(type='SoftmaxRegressionLoss'))


@pytest.fixture
def recorded(teacher, batch):
    """Build a pair and record a step of it."""

    def record(**kwargs):
        cfg = pair_cfg(teacher, **kwargs)
        if kwargs.get('losses') is PKD:
            cfg.distillers = dict(feats=PKD)
        model = build(cfg)
        step = lambda: losses_of(model, batch)  # noqa: E731
        return model, TeacherCalls([model.teacher], step)

    return record


def names(model, calls):
    found = {m: name for name, m in model.teacher.model.named_modules()}
    return sorted(found[module] for module in calls.modules)


def test_features_alone(recorded):
    model, calls = recorded(losses=PKD)
    assert names(model, calls) == []
    assert open_hooks(model, model.teacher) == 0
    made = count_calls(model.teacher.model.backbone)
    heads = count_calls(model.teacher.model.roi_head.bbox_head)
    calls()
    assert (len(made), len(heads)) == (1, 0)


def test_the_box_head_runs_on_the_same_rois(recorded, bank):
    model, calls = recorded(losses=ND, centroids=bank)
    assert names(model, calls) == [
        'roi_head.bbox_head',
        'roi_head.bbox_roi_extractor',
    ]
    seen = []
    head = model.teacher.model.roi_head.bbox_head
    head.register_forward_hook(lambda *call: seen.append(call[-1]))
    calls(), calls()
    assert len(seen) == 2
    for one, other in zip(*seen):
        assert torch.equal(one, other) and not one.requires_grad


def test_layers_on_what_the_student_learns_are_no_teacher(recorded):
    """SRRL applies the teacher's classifier to the student's embedding."""
    model, calls = recorded(losses=SRRL)
    assert 'roi_head.bbox_head.fc_cls' not in names(model, calls)
    crossed = count_calls(model.teacher.model.roi_head.bbox_head.fc_cls)
    calls()
    assert len(crossed) == 1  # in its own head
