"""Right predictions score 1, whatever ids a file has."""

import contextlib
import copy
import io
import json

import pytest
import torch
from mmdet.evaluation.metrics import CocoMetric
from pycocotools.coco import COCO
from tiny import CLASSES

from kd_det.compat import coco_files


def number_from(start):
    def run(table):
        for number, entry in enumerate(table['annotations'], start):
            entry['id'] = number

    return run


def texts(part, key):
    def run(table):
        for entry in table[part]:
            entry[key] = f'id{entry[key]}'

    return run


def text_images(table):
    texts('images', 'id')(table)
    texts('annotations', 'image_id')(table)


def text_categories(table):
    texts('categories', 'id')(table)
    texts('annotations', 'category_id')(table)


def no_crowds(table):
    for entry in table['annotations']:
        del entry['iscrowd']


def mixed(table):
    table['annotations'][3]['id'] = 'three'
    table['annotations'][4]['id'] = None
    table['annotations'][5]['id'] = False


def images_from_zero(table):
    for entry in table['images']:
        entry['id'] -= 1
    for entry in table['annotations']:
        entry['image_id'] -= 1


@pytest.fixture
def score(shapes, tmp_path):
    """Return the AP of the truth as predictions."""

    def run(change):
        source = shapes / 'annotations/instances_val.json'
        table = json.loads(source.read_text())
        change(table)
        path = tmp_path / 'truth.json'
        path.write_text(json.dumps(table))
        with contextlib.redirect_stdout(io.StringIO()):
            metric = CocoMetric(str(path))
        metric.dataset_meta = dict(classes=CLASSES)
        places = [c['id'] for c in table['categories']]
        for image in table['images']:
            own = [
                entry
                for entry in table['annotations']
                if entry['image_id'] == image['id']
            ]
            boxes = torch.tensor([e['bbox'] for e in own]).reshape(-1, 4)
            boxes[:, 2:] += boxes[:, :2]
            labels = [places.index(e['category_id']) for e in own]
            found = dict(
                bboxes=boxes,
                labels=torch.tensor(labels, dtype=torch.int64),
                scores=torch.linspace(0.9, 0.5, len(own)),
            )
            sample = dict(
                pred_instances=found,
                img_id=image['id'],
                ori_shape=(image['height'], image['width']),
            )
            metric.process({}, [sample])
        with contextlib.redirect_stdout(io.StringIO()):
            return metric.evaluate(len(table['images']))['coco/bbox_mAP']

    return run


@pytest.mark.parametrize(
    'change',
    [
        number_from(0),
        number_from(1),
        number_from(-5),
        texts('annotations', 'id'),
        mixed,
        no_crowds,
        text_images,
        text_categories,
        images_from_zero,
    ],
)
def test_right_predictions_score_one(score, change):
    assert score(change) == 1


def test_pycocotools_alone_scores_less(score, monkeypatch):
    """Else there is nothing to mend any more."""
    stock = COCO.createIndex.__closure__
    [plain] = [c.cell_contents for c in stock if callable(c.cell_contents)]
    monkeypatch.setattr(COCO, 'createIndex', plain)
    assert score(number_from(0)) < 1
    with pytest.raises(ValueError):
        score(texts('annotations', 'id'))
    with pytest.raises(KeyError):
        score(no_crowds)


def test_right_ids_stay(shapes):
    table = json.loads((shapes / 'annotations/instances_val.json').read_text())
    table['annotations'][0]['id'] = 500
    before = copy.deepcopy(table)
    coco_files.make_plain(table)
    assert table == before


def test_names_become_text():
    table = dict(categories=[dict(id=1, name=0), dict(id=2, name='b'), {}])
    coco_files.make_plain(table)
    names = [category.get('name') for category in table['categories']]
    assert names == ['0', 'b', None]


def test_wrapped_once():
    before = COCO.createIndex
    coco_files.install()
    assert COCO.createIndex is before
