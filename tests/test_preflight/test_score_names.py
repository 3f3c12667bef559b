"""What waits for a score waits for one that validation gives."""

import pytest
from mmengine.config import Config
from mmengine.runner import Runner
from tiny import run_cfg, tiny_spec

from kd_det.errors import UserError
from kd_det.models.spec import read_spec
from kd_det.preflight.score_names import _given, check_scores

STOP = dict(type='EarlyStoppingHook')


@pytest.fixture
def cfg(shapes, tmp_path):
    return run_cfg({}, shapes, tmp_path)


def test_names_are_those_that_the_metric_gives(cfg):
    cfg.model = read_spec(tiny_spec(), 'student')[0]
    cfg.val_evaluator.metric = ['bbox', 'proposal']
    for key in ('train_dataloader', 'train_cfg', 'optim_wrapper'):
        cfg.pop(key)
    cfg.param_scheduler = None
    scores = Runner.from_cfg(cfg).val()
    assert {*scores} == {*_given(cfg.val_evaluator)}


def test_names_of_a_classifier():
    accuracy = dict(type='Accuracy', topk=(1, 5))
    cfg = Config(
        dict(
            val_evaluator=[accuracy, dict(type='kd_det.CrossEntropy')],
            custom_hooks=[dict(STOP, monitor='accuracy/top5')],
        )
    )
    check_scores(cfg)
    cfg.custom_hooks[0].monitor = 'eval/cross_entropy'
    check_scores(cfg)
    cfg.custom_hooks[0].monitor = 'top1'
    with pytest.raises(UserError, match=r"no score 'top1'; it gives accuracy"):
        check_scores(cfg)


@pytest.mark.parametrize('name', ['coco/bbox_mAP', 'auto'])
def test_right_names(cfg, name):
    cfg.custom_hooks = [dict(STOP, monitor=name)]
    cfg.default_hooks = dict(
        checkpoint=dict(type='CheckpointHook', save_best=[name])
    )
    check_scores(cfg)
    cfg.custom_hooks[0].monitor = 'mine/score'
    cfg.val_evaluator = [cfg.val_evaluator, dict(type='MyMetric')]
    check_scores(cfg)


@pytest.mark.parametrize('name', ['bbox_mAP', 'coco/mAP', 'coco/segm_mAP'])
def test_wrong_names(cfg, name):
    said = rf"no score '{name}'; it gives coco/bbox_mAP, .*did you mean"
    cfg.custom_hooks = [dict(STOP, monitor=name)]
    with pytest.raises(UserError, match=said):
        check_scores(cfg)
    cfg.custom_hooks = []
    cfg.param_scheduler = dict(type='ReduceOnPlateauLR', monitor=name)
    with pytest.raises(UserError, match=said):
        check_scores(cfg)
    cfg.param_scheduler = None
    cfg.default_hooks = dict(
        checkpoint=dict(type='CheckpointHook', save_best=name)
    )
    with pytest.raises(UserError, match=said):
        check_scores(cfg)


def test_numbers_of_proposals():
    metric = dict(type='CocoMetric', metric=['proposal_fast'])
    assert 'coco/AR@300' in _given(metric)
    metric['proposal_nums'] = (1, 10)
    assert _given(metric) == ['coco/AR@1', 'coco/AR@10']


def test_scores_that_another_loop_renames(cfg):
    best = 'teacher/coco/bbox_mAP'
    cfg.default_hooks = dict(checkpoint=dict(type='Own', save_best=best))
    with pytest.raises(UserError, match='no score'):
        check_scores(cfg)
    cfg.val_cfg = dict(type='TeacherStudentValLoop')
    check_scores(cfg)
