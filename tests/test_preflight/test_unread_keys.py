"""Keys that nothing reads, in dicts that are read key by key."""

import ast
import importlib.util
from pathlib import Path

import pytest
from tiny import pair_cfg, run_cfg, tiny_spec

from kd_det.errors import UserError
from kd_det.preflight.unread_keys import (
    ENV,
    OF_DATA,
    OF_NETWORKS,
    check_unread,
)


@pytest.fixture
def cfg(shapes, teacher):
    return run_cfg(pair_cfg(teacher), shapes, '')


@pytest.mark.parametrize(
    ('key', 'meant'),
    [
        ('model.student.test_cfg.rcnn.score_threshold', 'score_thr'),
        ('model.student.train_cfg.rpn_proposal.nms_prer', 'nms_pre'),
        ('model.student.test_cfg.rcnn.nms.iou_treshold', 'iou_threshold'),
        (
            'train_dataloader.dataset.filter_cfg.filter_empty',
            'filter_empty_gt',
        ),
        ('val_dataloader.dataset.metainfo.clases', 'classes'),
        ('env_cfg.cudnn_bench', 'cudnn_benchmark'),
    ],
)
def test_a_misspelt_key(cfg, key, meant):
    check_unread(cfg)
    cfg.merge_from_dict({key: 1})
    name = key.rpartition('.')[2]
    said = rf'{name}=1: nothing reads {name!r}; write {meant!r}'
    with pytest.raises(UserError, match=said):
        check_unread(cfg)
    cfg.custom_imports = dict(imports=['mine'])  # which may read it
    check_unread(cfg)


@pytest.mark.parametrize(
    'key',
    [
        'model.student.test_cfg.rcnn.my_own_way',
        # arguments of what is built or called, and of MMPretrain
        'model.student.train_cfg.rcnn.assigner.gpu_assign_thr',
        'model.student.test_cfg.rcnn.nms.score_threshold',
        'model.student.train_cfg.probs',
    ],
)
def test_a_key_that_is_read_or_of_the_user(cfg, key):
    cfg.merge_from_dict({key: 1})
    check_unread(cfg)


def test_a_network_alone_and_wrapped_data(shapes):
    cfg = run_cfg({}, shapes, '')
    cfg.model = tiny_spec()
    inner = cfg.train_dataloader.dataset
    inner.filter_cfg = dict(min_sise=32)
    cfg.train_dataloader.dataset = dict(
        type='ConcatDataset', datasets=[dict(type='Repeat', dataset=inner)]
    )
    where = r'train_dataloader.dataset.datasets.0.dataset.filter_cfg.min_sise'
    with pytest.raises(UserError, match=where):
        check_unread(cfg)


def keys_of(node: ast.AST) -> set[str]:
    """Return the keys of a dict in a config's source, and of those in it."""
    found = set()
    for child in ast.walk(node):
        if isinstance(child, ast.Call) and child.keywords:
            found |= {word.arg for word in child.keywords if word.arg}
    return found


@pytest.mark.parametrize('package', ['mmdet', 'mmpretrain'])
def test_every_key_that_their_configs_have_is_known(package):
    folder = Path(importlib.util.find_spec(package).origin).parent
    known = dict(
        train_cfg=OF_NETWORKS, test_cfg=OF_NETWORKS, env_cfg=ENV, **OF_DATA
    )
    unknown = set()
    for path in folder.glob('.mim/configs/**/*.py'):
        text = path.read_text()
        if 'model' not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if (
                isinstance(node, ast.Assign)
                and getattr(node.targets[0], 'id', '') == 'model'
            ):
                for word in ast.walk(node.value):
                    if isinstance(word, ast.keyword) and word.arg in known:
                        unknown |= keys_of(word.value) - known[word.arg]
    assert unknown <= {'_delete_'}
