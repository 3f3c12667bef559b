"""A folder in COCO layout becomes one that MMDetection reads as VOC."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from convert_to_voc import convert
from mmdet.datasets import CocoDataset, VOCDataset
from PIL import Image

from kd_det.errors import UserError

TOOL = Path(__file__).parents[2] / 'tools/convert_to_voc.py'
CLASSES = ('cat', 'dog')


@pytest.fixture
def coco(tmp_path):
    """Two splits with the same file names; a crowd, and a box of a hair."""
    root = tmp_path / 'coco'
    (root / 'annotations').mkdir(parents=True)
    boxes = [[3.4, 4.6, 20.2, 10.1], [0, 0, 40, 30], [7.0, 8.0, 0.2, 5.0]]
    for number, split in enumerate(('train', 'val')):
        (root / split / 'deep').mkdir(parents=True)
        names = ['1.jpg', 'deep/1.png']
        pixels = np.random.default_rng(number).integers(0, 256, (30, 40, 3))
        for name in names:
            image = Image.fromarray(pixels.astype(np.uint8))
            image.save(root / split / name)
        notes = [
            dict(
                id=i + 1,
                image_id=7,
                category_id=(5, 2, 5)[i],
                bbox=box,
                area=box[2] * box[3],
                iscrowd=int(i == 1),
            )
            for i, box in enumerate(boxes)
        ]
        table = dict(
            images=[
                dict(id=7 + i, file_name=name, width=40, height=30)
                for i, name in enumerate(names)
            ],
            annotations=notes,
            categories=[dict(id=2, name='dog'), dict(id=5, name='cat')],
        )
        path = root / f'annotations/instances_{split}.json'
        path.write_text(json.dumps(table))
    return root


def test_the_same_boxes(coco, tmp_path):
    convert(coco, tmp_path / 'voc')
    convert(coco, tmp_path / 'voc')  # once more
    common = dict(metainfo=dict(classes=CLASSES), test_mode=True, pipeline=[])
    for split, theirs in (('train', 'trainval'), ('val', 'test')):
        ours = CocoDataset(
            ann_file=f'{coco}/annotations/instances_{split}.json',
            data_prefix=dict(img=f'{coco}/{split}/'),
            **common,
        )
        voc = VOCDataset(
            data_root=str(tmp_path / 'voc'),
            ann_file=f'VOC2007/ImageSets/Main/{theirs}.txt',
            data_prefix=dict(sub_data_root='VOC2007/'),
            **common,
        )
        assert len(voc) == len(ours) == 2
        first = voc.get_data_info(0)
        found = [
            (i['bbox_label'], i['ignore_flag'], *i['bbox'])
            for i in first['instances']
        ]
        # corners are the first and last pixel; a hair is not lost
        assert found == [
            (0, 0, 3, 5, 23, 14),
            (1, 1, 0, 0, 39, 29),
            (0, 0, 7, 8, 8, 12),
        ]
        assert not voc.get_data_info(1)['instances']
        for index in range(2):
            paths = [d.get_data_info(index)['img_path'] for d in (ours, voc)]
            one, other = (np.asarray(Image.open(p), int) for p in paths)
            assert one.shape == other.shape
            assert index or (one == other).all()


def test_command(coco, tmp_path):
    command = [sys.executable, str(TOOL), str(coco), str(tmp_path / 'out')]
    (coco / 'val/deep/1.png').write_bytes(b'no image')
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2
    assert "deep/1.png' cannot be read" in result.stderr
    assert 'Traceback' not in result.stderr
    with pytest.raises(UserError, match='cannot be read'):
        convert(coco, tmp_path / 'out')


@pytest.mark.parametrize(
    ('old', 'new', 'said'),
    [
        ('deep/1.png', '1.png', "'1.jpg' and '1.png' .* both be train_1.jpg"),
        ('"id": 5', '"id": 6', r'no COCO file of boxes \(KeyError\(5\)\)'),
        ('"width": 40, ', '', "no COCO file of boxes .*'width'"),
        ('{"images"', '"images"', 'no COCO file of boxes .*JSON'),
    ],
)
def test_what_is_no_table_of_images(coco, tmp_path, old, new, said):
    path = coco / 'annotations/instances_train.json'
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(UserError, match=said):
        convert(coco, tmp_path / 'voc')
