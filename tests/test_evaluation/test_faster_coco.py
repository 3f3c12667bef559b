"""faster-coco-eval gives pycocotools' numbers, through MMDetection's class."""

import json

import numpy as np
import pytest
import torch
from benchmark_evaluation import benchmark, made_up
from mmengine.registry import METRICS, init_default_scope
from tiny import run_cfg

from kd_det.errors import UserError
from kd_det.preflight import metrics
from kd_det.preflight.data import check_data

EQUAL = 1e-6


def need_package():
    pytest.importorskip(
        'faster_coco_eval',
        reason="faster-coco-eval is not installed: 'kd_det[evaluation]'",
    )


@pytest.mark.parametrize('boxes', [1, 40])
def test_precisions_are_those_of_pycocotools(boxes):
    """All of them: each IoU, recall, class and area; crowds and ties."""
    need_package()
    result = benchmark(*made_up(60, 5, boxes), rounds=1)
    assert result['largest_difference'] <= EQUAL
    assert result['mAP'] > 0 and result['boxes'] == 60 * boxes
    assert {*result['seconds']} == {'pycocotools', 'faster-coco-eval'}


def test_the_metric_gives_the_same(shapes, tmp_path):
    """Also with an annotation id of 0, as other tools write."""
    need_package()
    init_default_scope('mmdet')
    path = shapes / 'annotations/instances_val.json'
    table = json.loads(path.read_text())
    table['annotations'][0]['id'] = 0
    odd = tmp_path / 'zero.json'
    odd.write_text(json.dumps(table))
    names = tuple(c['name'] for c in table['categories'])
    found = []
    for kind in ('CocoMetric', 'FasterCocoMetric'):
        metric = METRICS.build(
            dict(type=f'mmdet.{kind}', ann_file=str(odd), classwise=True)
        )
        metric.dataset_meta = dict(classes=names)
        metric.process({}, samples(table, np.random.default_rng(0)))
        found.append(metric.evaluate(len(table['images'])))
    assert found[0]['coco/bbox_mAP'] > 0
    assert {*found[0]} == {*found[1]}
    for key, value in found[0].items():
        assert found[1][key] == pytest.approx(value, abs=EQUAL, nan_ok=True)


def samples(table, rng):
    """Predictions: the annotated boxes, moved, some with another class."""
    kinds = [category['id'] for category in table['categories']]
    for image in table['images']:
        own = [a for a in table['annotations'] if a['image_id'] == image['id']]
        boxes = np.array([a['bbox'] for a in own]).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        boxes += rng.normal(0, 2, boxes.shape)
        labels = [kinds.index(a['category_id']) for a in own]
        labels = [n if rng.random() < 0.8 else 0 for n in labels]
        yield dict(
            img_id=image['id'],
            ori_shape=(image['height'], image['width']),
            pred_instances=dict(
                bboxes=torch.tensor(boxes),
                scores=torch.tensor(rng.random(len(own))),
                labels=torch.tensor(labels, dtype=torch.long),
            ),
        )


def test_a_missing_package_is_told_before_the_run(shapes, monkeypatch):
    init_default_scope('mmdet')
    cfg = run_cfg({}, shapes, '')
    cfg.val_evaluator.type = 'FasterCocoMetric'
    monkeypatch.setattr(metrics, 'find_spec', lambda name: None)
    with pytest.raises(UserError, match='needs the package faster-coco-eval'):
        check_data(cfg, ('val',))
    monkeypatch.undo()
    need_package()
    check_data(cfg, ('val',))
