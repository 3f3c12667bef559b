"""The work dir's config holds the connectors that were built."""

import copy

import pytest
from mmengine.config import Config, ConfigDict
from tiny import run_cfg, tiny_spec

from kd_det.api import launch
from kd_det.errors import UserError
from kd_det.registry import MODELS

PKD = dict(type='FeatureDistiller', losses=dict(loss_pkd=dict(type='PKDLoss')))


def narrow(width=8):
    """An R-18 whose FPN has fewer channels than the teacher's 16."""
    spec = tiny_spec(18)
    spec['neck'] = dict(spec['neck'], out_channels=width)
    for part in ('rpn_head', 'roi_head'):
        spec[part] = copy.deepcopy(spec[part])
    spec['rpn_head']['in_channels'] = width
    spec['roi_head']['bbox_roi_extractor']['out_channels'] = width
    spec['roi_head']['bbox_head']['in_channels'] = width
    return spec


def test_found_connectors_are_in_the_dumped_config(teacher, shapes, tmp_path):
    model = ConfigDict(
        _scope_='kd_det',
        type='DistillModel',
        teacher=dict(teacher),
        student=narrow(),
        distillers=dict(feats=PKD),
    )
    cfg = run_cfg(model, shapes, tmp_path / 'run', max_epochs=1)
    cfg.dump(tmp_path / 'run.py')
    launch.train(launch.prepare(str(tmp_path / 'run.py')), seed=0)
    dumped = Config.fromfile(tmp_path / 'run/run.py')
    found = dumped.model.distillers.feats.connectors.student_feats
    assert found.type == 'AlignConnector'
    assert found.in_channels == [8] * 5
    assert found.out_channels == [16] * 5
    again = MODELS.build(copy.deepcopy(dumped.model))
    connector = again.distill['feats'].connectors['student_feats']
    assert type(connector).__name__ == 'AlignConnector'
    # a network that has changed since does not pass unnoticed
    dumped.model.student = narrow(4)
    with pytest.raises(UserError, match=r'in_channels=\[8.*student has \[4'):
        launch.train(_rerun(dumped, tmp_path))


def _rerun(cfg, tmp_path):
    cfg.work_dir = str(tmp_path / 'again')
    cfg.dump(tmp_path / 'again.py')
    return launch.prepare(str(tmp_path / 'again.py'))
