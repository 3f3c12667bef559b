"""A metric scores the images that it is shown, all of them."""

import json
import shutil

import pytest
from mmengine.registry import init_default_scope
from tiny import run_cfg, tiny_spec

from kd_det.api import launch
from kd_det.datasets import make_shapes
from kd_det.errors import UserError
from kd_det.models.spec import read_spec
from kd_det.preflight.data import check_data

NAME = 'annotations/instances_val.json'
SEVERAL = dict(type='MultiDatasetsEvaluator', dataset_prefixes=['a', 'b'])


@pytest.fixture
def cfg(shapes):
    init_default_scope('mmdet')
    return run_cfg({}, shapes, '')


@pytest.fixture
def second(tmp_path):
    folder = tmp_path / 'second'
    return make_shapes(folder, num_train=1, num_val=3, image_size=64, seed=5)


def coco(folder=None, **kwargs):
    file = dict(ann_file=f'{folder}/{NAME}') if folder else {}
    return dict(type='CocoMetric', metric='bbox', **file, **kwargs)


def join(cfg, *folders):
    leaf = cfg.val_dataloader.dataset
    cfg.val_dataloader.dataset = dict(
        type='ConcatDataset',
        datasets=[dict(leaf, data_root=str(folder)) for folder in folders],
    )


def refused(cfg, message):
    with pytest.raises(UserError, match=message) as caught:
        check_data(cfg, ('val',))
    assert '\n' not in str(caught.value)


def test_another_file(cfg, shapes, second):
    cfg.val_evaluator.ann_file = f'{second}/{NAME}'
    refused(cfg, f"'{second}.*', but the images are those of '{shapes}.*; wr")
    shutil.copy(shapes / NAME, second / NAME)
    check_data(cfg, ('val',))  # the same content will do


def test_one_of_several_metrics(cfg, shapes, second):
    cfg.val_evaluator = [coco(shapes), coco(second)]
    refused(cfg, 'compares with .*second')


def test_no_file(cfg, shapes):
    cfg.val_evaluator = coco()
    refused(cfg, f"has no ann_file to .* write ann_file='{shapes}/{NAME}'")
    pack = cfg.val_dataloader.dataset.pipeline[-1]
    pack.meta_keys = (*pack.meta_keys, 'instances')
    check_data(cfg, ('val',))


def test_several_data_sets(cfg, shapes, second):
    join(cfg, shapes, second)
    advice = "write val_evaluator=dict.type='MultiDatasetsEvaluator'"
    for metrics in (coco(shapes), [coco(shapes), coco(second)]):
        cfg.val_evaluator = metrics
        refused(cfg, f'gets the images of 2 data sets; {advice}')
    for leaf in cfg.val_dataloader.dataset.datasets:
        leaf.pipeline[-1].meta_keys = ('img_id', 'instances')
    cfg.val_evaluator = coco()
    refused(cfg, f'have image ids in common .*; {advice}')
    table = json.loads((second / NAME).read_text())
    for key, entries in (('id', 'images'), ('image_id', 'annotations')):
        for entry in table[entries]:
            entry[key] += 1000
    (second / NAME).write_text(json.dumps(table))
    check_data(cfg, ('val',))
    cfg.val_evaluator = dict(SEVERAL, metrics=[coco(shapes), coco(second)])
    check_data(cfg, ('val',))


def test_metrics_in_another_order(cfg, shapes, second):
    join(cfg, shapes, second)
    cfg.val_evaluator = dict(SEVERAL, metrics=[coco(second), coco(shapes)])
    refused(cfg, f"compares with '{second}.*images are those of '{shapes}")


def test_a_data_set_without_a_metric(cfg, shapes, second):
    join(cfg, shapes, second)
    cfg.val_evaluator = dict(SEVERAL, metrics=[coco(shapes)])
    refused(cfg, 'with 1 metrics and 2 dataset_prefixes for 2 data sets')


def test_data_of_other_classes(cfg, second):
    """A label would be one class in one set and another in the other."""
    classes = cfg.train_dataloader.dataset.metainfo.classes
    other = dict(classes=classes[1:])
    cfg.val_dataloader.dataset.metainfo = other
    with pytest.raises(UserError, match='val data set .* labels would be am'):
        check_data(cfg, ('train', 'val'))
    leaf = cfg.train_dataloader.dataset
    cfg.train_dataloader.dataset = dict(
        type='ConcatDataset', datasets=[leaf, dict(leaf, metainfo=other)]
    )
    with pytest.raises(UserError, match='train data set .* labels would be'):
        check_data(cfg, ('train',))


def test_a_folder_that_is_named_twice(cfg):
    leaf = cfg.train_dataloader.dataset
    cfg.train_dataloader.dataset = dict(
        type='ConcatDataset', datasets=[leaf, dict(leaf)]
    )
    [report] = check_data(cfg, ('train',))
    assert 'its images count 2 times' in report.warnings[-1]
    parts = [dict(leaf, indices=[1]), dict(leaf, indices=[2])]
    cfg.train_dataloader.dataset.datasets = parts
    for report in check_data(cfg, ('train',)):
        assert not any('times' in warning for warning in report.warnings)


def test_masks_of_a_detector_of_boxes(shapes, tmp_path):
    model = read_spec(tiny_spec(), 'student')[0]
    cfg = run_cfg(model, shapes, tmp_path)
    cfg.val_evaluator.metric = ['bbox', 'segm']
    with pytest.raises(UserError, match='FasterRCNN predicts boxes alone'):
        launch.train(cfg)
