"""``kd_det::NAME``: in load_config, in _base_, as the config of a side."""

import shutil
from pathlib import Path

import pytest
from mmengine.config import Config

from kd_det import shipped
from kd_det.api import launch
from kd_det.config import load_config
from kd_det.errors import UserError
from kd_det.models.spec import read_spec

CONFIGS = Path(__file__).parents[1] / 'configs'
PAIR = 'nd_frcnn_r101_r18.py'
# its student is cfg='{{ fileDirname }}/../../…'
RELATIVE = 'nd_retinanet_r101_r18.py'
DEEP = 'detection/nd_frcnn_r50_r18_slim_bccd.py'


@pytest.mark.parametrize('name', [PAIR, RELATIVE, DEEP])
def test_load_config_takes_a_name(name):
    cfg = load_config(f'kd_det::{name}')
    assert cfg.filename == str(CONFIGS / name)
    assert cfg.to_dict() == load_config(str(CONFIGS / name)).to_dict()


@pytest.mark.parametrize('name', [PAIR, RELATIVE, DEEP])
def test_a_config_elsewhere_inherits_by_name(name, tmp_path):
    child = tmp_path / 'child.py'
    child.write_text(f"_base_ = 'kd_det::{name}'\nwork_dir = 'w'\n")
    cfg = load_config(str(child)).to_dict()
    assert cfg.pop('work_dir') == 'w'
    assert cfg == load_config(str(CONFIGS / name)).to_dict()


def test_names_in_a_list_of_bases(tmp_path):
    child = tmp_path / 'child.py'
    child.write_text(
        "_base_ = ['kd_det::_base_/default_runtime.py',\n"
        "          'mmdet::_base_/schedules/schedule_1x.py']\n"
    )
    cfg = Config.fromfile(child)
    assert cfg.default_scope == 'mmdet' and cfg.train_cfg.max_epochs == 12


def test_a_side_of_a_pair_by_name():
    name = 'detection/baseline_frcnn_r18_slim_bccd.py'
    found, _ = read_spec(dict(cfg=f'kd_det::{name}'), 'student')
    same, _ = read_spec(dict(cfg=str(CONFIGS / name)), 'student')
    assert found == same and found.backbone.depth == 18


def test_the_work_dir_has_the_name_of_the_file(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in (PAIR, DEEP):
        cfg = launch.prepare(f'kd_det::{name}')
        assert cfg.work_dir == f'work_dirs/{Path(name).stem}'


@pytest.mark.parametrize(
    ('name', 'hint'),
    [
        ('nd_frcn_r101_r18.py', f"; did you mean 'kd_det::{PAIR}'?"),
        (Path(DEEP).name, f"; did you mean 'kd_det::{DEEP}'?"),
        (PAIR.removesuffix('.py'), f"; did you mean 'kd_det::{PAIR}'?"),
        ('', f'; see {CONFIGS}.'),
        ('xyzzy', f'; see {CONFIGS}.'),
        ('x' * 300, f'; see {CONFIGS}.'),
        ('../tests/tiny.py', f'; see {CONFIGS}.'),
        (f'demo/../../{Path(__file__).name}', f'; see {CONFIGS}.'),
        (str(Path(__file__)), f'; see {CONFIGS}.'),
    ],
)
def test_an_unknown_name(name, hint, tmp_path):
    said = f'kd_det has no config {name!r}{hint}'
    with pytest.raises(UserError) as caught:
        load_config(f'kd_det::{name}')
    assert str(caught.value) == said
    with pytest.raises(UserError) as caught:
        read_spec(dict(cfg=f'kd_det::{name}'), 'student')
    assert str(caught.value) == said
    child = tmp_path / 'child.py'
    child.write_text(f"_base_ = 'kd_det::{name}'\n")
    with pytest.raises(UserError) as caught:
        load_config(str(child))
    assert str(caught.value) == f'Config {str(child)!r}: {said}'


def test_an_installation_without_configs(tmp_path, monkeypatch):
    lone = tmp_path / 'kd_det'
    monkeypatch.setattr(shipped, 'PACKAGE', lone)
    with pytest.raises(UserError, match=f'no configs .looked in .*{lone}'):
        shipped.config_path(f'kd_det::{PAIR}')
    shutil.copytree(CONFIGS / 'demo', lone / '.mim/configs/demo')
    name = 'kd_det::demo/baseline_frcnn_lite0_demo_shapes.py'
    assert shipped.config_path(name).startswith(str(lone))
