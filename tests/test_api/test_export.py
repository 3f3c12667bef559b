"""The exported student is plain MMDetection, and it is checked."""

from pathlib import Path

import pytest
import torch
from image_folders import write_tree
from tiny import CLASSES, pair_cfg, tiny_spec

from kd_det.api import export, launch
from kd_det.checkpoint import load_checkpoint
from kd_det.errors import UserError
from kd_det.testing import save_teacher, tiny_classifier, tiny_run

CONFIGS = Path(__file__).parents[2] / 'configs'


@pytest.fixture
def cfg(shapes, teacher, tmp_path):
    """A prepared config of a pair on the shapes data."""
    path = tmp_path / 'pair.py'
    tiny_run(pair_cfg(teacher), shapes, tmp_path / 'w', CLASSES).dump(path)
    return launch.prepare(str(path))


@pytest.fixture
def checkpoint(tmp_path):
    """What a training leaves: a student, and parts under ``distill.``."""
    spec = save_teacher(tiny_spec(), tmp_path / 'epoch.pth', CLASSES)
    state = torch.load(spec['ckpt'], weights_only=True)
    state['state_dict']['distill.roi.memory'] = torch.zeros(3)
    state['optimizer'] = dict(state=torch.zeros(1000))
    torch.save(state, spec['ckpt'])
    return spec['ckpt']


def test_files_are_plain(cfg, checkpoint, tmp_path, capsys):
    config, weights = export.export_student(
        cfg, checkpoint, str(tmp_path / 'out'), num_images=2
    )
    assert 'kd_det' not in config.read_text()
    saved = load_checkpoint(str(weights))
    assert set(saved) == {'meta', 'state_dict'}
    assert tuple(saved['meta']['dataset_meta']['classes']) == CLASSES
    assert not [key for key in saved['state_dict'] if 'distill' in key]
    assert 'the same' in capsys.readouterr().out


def test_other_boxes_leave_nothing(cfg, checkpoint, tmp_path, monkeypatch):
    real = export.stock_network

    def disturbed(*files):
        model = real(*files)
        torch.nn.init.constant_(model.roi_head.bbox_head.fc_cls.bias, 1.0)
        model.roi_head.bbox_head.fc_cls.bias.data[0] = 5.0
        return model

    monkeypatch.setattr(export, 'stock_network', disturbed)
    with pytest.raises(UserError, match='does not reproduce'):
        export.export_student(cfg, checkpoint, str(tmp_path / 'out'))
    assert not list((tmp_path / 'out').iterdir())


def test_raw_outputs_where_there_is_no_box(
    cfg, checkpoint, tmp_path, monkeypatch, capsys
):
    out = str(tmp_path / 'out')
    cfg.model.student.test_cfg = dict(rcnn=dict(score_thr=1.0))
    export.export_student(cfg, checkpoint, out)
    assert 'raw outputs' in capsys.readouterr().out
    real = export.stock_network

    def disturbed(*files):
        model = real(*files)
        model.roi_head.bbox_head.fc_cls.bias.data[0] += 0.1
        return model

    monkeypatch.setattr(export, 'stock_network', disturbed)
    with pytest.raises(UserError, match='does not reproduce'):
        export.export_student(cfg, checkpoint, out)


def test_another_network_is_refused(cfg, teacher, tmp_path):
    with pytest.raises(UserError, match='does not fit the student'):
        export.export_student(cfg, teacher['ckpt'], str(tmp_path / 'out'))
    assert not (tmp_path / 'out').exists()


def test_a_classifier(tmp_path, capsys):
    classes = ('cat', 'dog', 'owl')
    for split in ('train', 'validation'):
        write_tree(tmp_path / 'data' / split, classes)
    spec = tiny_classifier(num_classes=3)
    pair = dict(
        _scope_='kd_det',
        type='DistillModel',
        student=spec,
        teacher=save_teacher(spec, tmp_path / 'teacher.pth', classes),
        distillers=dict(
            logit=dict(
                type='LogitDistiller', losses=dict(loss_kd=dict(type='KDLoss'))
            )
        ),
    )
    path = tmp_path / 'pair.py'
    path.write_text(
        f"_base_ = '{CONFIGS}/_base_/datasets/image_folder.py'\n"
        "default_scope = 'mmpretrain'\n"
        'test_cfg = dict()\n'
        f"data_root = '{tmp_path}/data'\n"
        f'classes = {classes}\n'
        f'model = {pair}\n'
    )
    config, weights = export.export_student(
        launch.prepare(str(path)), pair['teacher']['ckpt'], str(tmp_path / 'o')
    )
    assert 'kd_det' not in config.read_text()
    assert set(load_checkpoint(str(weights))) == {'meta', 'state_dict'}
    said = capsys.readouterr().out
    assert 'stock MMPretrain loads them' in said
    assert 'the same 4 outputs on 4 images' in said
