"""Any change of a COCO json stops with a sentence, or trains as counted."""

import contextlib
import copy
import io
import json
import random

import pytest
import torch
from mmdet.evaluation.metrics import CocoMetric
from mmengine.registry import DATASETS
from tiny import CLASSES

from kd_det.errors import UserError
from kd_det.preflight.detection_data import check_coco

VALUES = (
    *(None, True, False, 0, -1, 1, 2, 3.5, 10**40, -(10**40)),
    *(1e308, float('nan'), float('inf')),
    *('', 'a', '1', '\ud800', '../x', 'a\x00b', '000001.png'),
    *([], [1], [1, 2, 3, 4], [[1, 2], [3]], {}, {'a': 1}),
)
PARTS = ('images', 'annotations', 'categories')


def mutate(table, draw):
    """Change, remove or replace one to three things."""
    for _ in range(draw.choice((1, 1, 2, 3))):
        value = copy.deepcopy(draw.choice(VALUES))
        part = draw.choice((*PARTS, None))
        if part is None:
            table[draw.choice(PARTS)] = value
            continue
        entries = table.get(part)
        if not isinstance(entries, list) or not entries:
            continue
        key = draw.choice(('id', *KEYS[part]))
        count = draw.choice((1, 3, len(entries)))
        for entry in draw.sample(entries, min(count, len(entries))):
            if not isinstance(entry, dict):
                continue
            kind = draw.random()
            if kind < 0.15:
                entry.pop(key, None)
            elif kind < 0.4 and isinstance(entry.get('bbox'), list):
                place = draw.randrange(max(len(entry['bbox']), 1))
                entry['bbox'][place : place + 1] = [value]
            else:
                entry[key] = copy.deepcopy(value)


KEYS = dict(
    images=('file_name', 'width', 'height'),
    annotations=('image_id', 'category_id', 'bbox', 'area', 'iscrowd'),
    categories=('name',),
)


def check_with_mmdet(path, folder, report):
    """Load it, count the objects, and score the truth as predictions."""
    with contextlib.redirect_stdout(io.StringIO()):
        dataset = DATASETS.build(
            dict(
                type='mmdet.CocoDataset',
                data_root=str(folder),
                ann_file=str(path),
                data_prefix=dict(img='train/'),
                metainfo=dict(classes=CLASSES),
                pipeline=[],
            )
        )
        metric = CocoMetric(str(path))
        metric.dataset_meta = dict(classes=CLASSES)
        objects = 0
        for index in range(len(dataset)):
            info = dataset.get_data_info(index)
            found = info['instances']
            objects += sum(not i['ignore_flag'] for i in found)
            instances = dict(
                bboxes=torch.tensor([i['bbox'] for i in found]).reshape(-1, 4),
                labels=torch.tensor([i['bbox_label'] for i in found]).long(),
                scores=torch.linspace(0.9, 0.5, len(found)),
            )
            sample = dict(
                pred_instances=instances,
                img_id=info['img_id'],
                ori_shape=(64, 64),
            )
            metric.process({}, [sample])
        scores = metric.evaluate(len(dataset))
    assert objects == report.facts['objects used']
    assert scores['coco/bbox_mAP'] > 0.8  # what is left out is missed


@pytest.mark.parametrize('seed', range(4))
def test_mutated_tables(shapes, tmp_path, seed):
    draw = random.Random(seed)
    source = (shapes / 'annotations/instances_train.json').read_text()
    path = tmp_path / 'table.json'
    leaf = dict(
        data_root=str(shapes),
        data_prefix=dict(img='train/'),
        pipeline=[dict(type='LoadImageFromFile')],
    )
    accepted = 0
    for _ in range(60):
        table = json.loads(source)
        mutate(table, draw)
        path.write_text(json.dumps(table))
        try:
            report = check_coco(leaf, str(path), CLASSES, 'train')
        except (UserError, FileNotFoundError) as error:
            assert '\n' not in str(error)
            continue
        accepted += 1
        check_with_mmdet(path, shapes, report)
    assert 0 < accepted < 60
