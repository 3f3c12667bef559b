"""VOC's XML files, and what a user's own class reads."""

import json
import os
import pickle
import re
import shutil

import numpy as np
import pytest
from image_folders import loader_cfg
from mmdet.datasets.base_det_dataset import BaseDetDataset
from mmdet.registry import DATASETS
from mmengine.registry import init_default_scope
from tiny import CLASSES
from voc_toy import voc_leaf, write_voc

from kd_det.checkpoint import use_safe_loading
from kd_det.errors import UserError
from kd_det.preflight.data import check_data


@pytest.fixture(scope='module')
def made(shapes, tmp_path_factory):
    return write_voc(shapes, tmp_path_factory.mktemp('voc') / 'VOC2007')


@pytest.fixture
def voc(made, tmp_path):
    """A folder of its own."""
    return shutil.copytree(made, tmp_path / 'VOC2007')


def check(folder, classes=CLASSES, **changes):
    init_default_scope('mmdet')
    cfg = loader_cfg(voc_leaf(folder, classes, **changes))
    return check_data(cfg, ('train',))


def refused(folder, *args, kind=UserError, **kwargs):
    with pytest.raises(kind) as caught:
        check(folder, *args, **kwargs)
    assert '\n' not in str(caught.value)
    return str(caught.value)


def rewrite(folder, pattern, change, only=None):
    """Change the XML files where a pattern matches."""
    for path in sorted((folder / 'Annotations').iterdir()):
        if only is None or path.stem == only:
            path.write_text(re.sub(pattern, change, path.read_text()))


def test_right_data(made):
    [report] = check(made)
    facts = report.facts
    assert facts['images'] == facts['images looked at'] == 12
    assert facts['objects used'] == facts['boxes'] == 39
    assert facts['over the border'] == 0
    # so few images: a class may have no object
    assert all('no object' in warning for warning in report.warnings)


def test_some_of_the_classes(made):
    [report] = check(made, (CLASSES[0], CLASSES[3]))
    assert 0 < report.facts['objects used'] < 39


def test_no_list(made):
    text = refused(made, kind=FileNotFoundError, ann_file='none.txt')
    assert 'no train annotation file' in text


def test_an_empty_list(voc):
    (voc / 'ImageSets/Main/train.txt').write_text('')
    assert 'has no images' in refused(voc)


def test_a_list_with_a_second_column(voc):
    """VOC has such lists of each class beside those of the images."""
    path = voc / 'ImageSets/Main/train.txt'
    path.write_text(path.read_text().replace('\n', '  1\n'))
    text = refused(voc, kind=FileNotFoundError)
    assert "000001  1.xml'" in text and 'one name without ext' in text


def test_an_xml_file_that_is_missing(voc):
    (voc / 'Annotations/000004.xml').unlink()
    assert '000004.xml' in refused(voc, kind=FileNotFoundError)


def test_a_name_that_climbs_out_of_data_root(voc):
    for kind, ending in (('JPEGImages', 'jpg'), ('Annotations', 'xml')):
        source = voc / kind / f'000004.{ending}'
        source.rename(voc.parent / source.name)
    path = voc / 'ImageSets/Main/train.txt'
    path.write_text(path.read_text().replace('000004', '../../000004'))
    assert "'JPEGImages/../../000004.jpg', which leads out" in refused(voc)


def test_an_image_that_is_missing(voc):
    (voc / 'JPEGImages/000004.jpg').unlink()
    text = refused(voc, kind=FileNotFoundError)
    assert '1 of the 12 images' in text and "000004.jpg'" in text


@pytest.mark.parametrize(
    'pattern, change', [('<size>', '<siz'), ('<width>64', '<width>64.5')]
)
def test_a_file_that_cannot_be_read(voc, pattern, change):
    rewrite(voc, pattern, change, only='000007')
    text = refused(voc)
    assert 'cannot be read' in text and "000007.xml'" in text


def test_a_misspelt_class(made):
    classes = ('Circle', *CLASSES[1:])
    text = refused(made, classes)
    assert "is of class 'Circle'; its XML files name circle (" in text
    assert "did you mean 'circle'" in text


def test_no_object_of_the_classes(made):
    text = refused(made, ('bus',))
    assert "is of class 'bus'; its XML files name" in text


def test_corners_in_the_wrong_order(voc):
    rewrite(voc, r'<xmax>\d+', '<xmax>1', only='000003')
    text = refused(voc)
    assert 'have a width or height below 0' in text and '000003.jpg' in text


def test_sizes_in_place_of_corners(voc):
    """xmax and ymax hold the width and height."""

    def sizes(match):
        x1, y1, x2, y2 = map(int, match.groups())
        return (
            f'<xmin>{x1}</xmin><ymin>{y1}</ymin>'
            f'<xmax>{x2 - x1}</xmax><ymax>{y2 - y1}</ymax>'
        )

    rewrite(
        voc,
        r'<xmin>(\d+)</xmin><ymin>(\d+)</ymin>'
        r'<xmax>(\d+)</xmax><ymax>(\d+)</ymax>',
        sizes,
    )
    assert 'have a width or height below 0' in refused(voc)


def test_fractions(voc):
    rewrite(
        voc,
        r'<(x|y)(min|max)>(\d+)',
        lambda m: f'<{m[1]}{m[2]}>{int(m[3]) / 64}',
    )
    assert 'a width or height' in refused(voc)


@pytest.mark.parametrize('width', [0, 640])
def test_sizes_that_the_images_do_not_have(voc, width):
    rewrite(voc, '<width>64', f'<width>{width}')
    text = refused(voc)
    assert '12 of the 12 images checked differ in size' in text


def test_everything_is_difficult(voc):
    rewrite(voc, '<difficult>0', '<difficult>1')
    assert 'are marked as crowds (iscrowd, difficult)' in refused(voc)


def test_boxes_over_the_border(voc):
    rewrite(voc, r'<xmax>\d+', '<xmax>70', only='000003')
    [report] = check(voc)
    assert report.facts['over the border'] > 0
    assert any('by more than a pixel' in w for w in report.warnings)


@DATASETS.register_module(name='OwnBoxesOfTests', force=True)
class OwnBoxes(BaseDetDataset):
    """A user's own reader, of two images and any boxes."""

    METAINFO = dict(classes=CLASSES)

    def __init__(self, folder, boxes, **kwargs):
        self.folder, self.boxes = folder, boxes
        super().__init__(**kwargs)

    def load_data_list(self):
        return [
            dict(
                img_path=f'{self.folder}/00000{image}.png',
                img_id=image,
                width=64,
                height=64,
                instances=[
                    dict(bbox=box, bbox_label=image, ignore_flag=0)
                    for box in self.boxes
                ],
            )
            for image in (1, 2)
        ]


@pytest.mark.parametrize(
    'boxes, message',
    [
        ([[3, 4, 20, 9]], None),
        ([[0.1, 0.2, 0.5, 0.4]], 'numbers from 0 to 1'),
        ([[20, 4, 3, 9]], 'a width or height below 0'),
        ([[np.nan, 4, 30, 9]], 'not finite'),
        ([[50, 50, 90, 90]] * 3, 'are implausible'),
    ],
)
def test_a_class_of_the_user(shapes, boxes, message):
    if message is None:
        [report] = check_own(shapes, boxes)
        assert report.facts['objects used'] == 2
        return
    with pytest.raises(UserError, match=message):
        check_own(shapes, boxes)


def check_own(shapes, boxes):
    init_default_scope('mmdet')
    leaf = dict(
        type='OwnBoxesOfTests',
        folder=str(shapes / 'train'),
        boxes=boxes,
        pipeline=[dict(type='LoadImageFromFile')],
    )
    return check_data(loader_cfg(leaf), ('train',))


def test_a_class_of_the_user_without_plain_boxes(shapes):
    """Rotated boxes, say; they are not MMDetection's."""
    [report] = check_own(shapes, [[3, 4, 20, 9, 0.5]])
    assert report.facts == {'images': 2}


BOMB = (
    '<!DOCTYPE a [<!ENTITY x0 "{}">{}]><annotation>&x9;</annotation>'.format(
        'x' * 99,
        ''.join(f'<!ENTITY x{n + 1} "{f"&x{n};" * 20}">' for n in range(9)),
    )
)
FOREIGN = (
    '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation>'
    '<size><width>64</width><height>64</height></size><object><name>&x;'
    '</name></object></annotation>'
)


@pytest.mark.parametrize(
    ('text', 'reason'),
    [(BOMB, 'amplification'), (FOREIGN, 'undefined entity')],
)
def test_entities_are_no_trap(voc, text, reason):
    """Billions of characters from a kilobyte; a file of the machine."""
    (voc / 'Annotations/000001.xml').write_text(text)
    found = refused(voc)
    assert reason in found and '000001.xml' in found


def loaded(leaf):
    init_default_scope('mmdet')
    return check_data(loader_cfg(leaf), ('train',))


def crowd(made, box):
    """CrowdHuman: a line of JSON per image, boxes [left, top, w, h]."""
    boxes = [dict(tag='person', fbox=box, hbox=box, vbox=box)] * 4
    lines = [
        json.dumps(dict(ID=path.stem, gtboxes=boxes))
        for path in sorted((made / 'JPEGImages').iterdir())
    ]
    (made / 'train.odgt').write_text('\n'.join(lines))
    return dict(
        type='mmdet.CrowdHumanDataset',
        data_root=str(made),
        ann_file='train.odgt',
        data_prefix=dict(img='JPEGImages/'),
        pipeline=[dict(type='LoadImageFromFile')],
    )


def test_crowdhuman(voc):
    [report] = loaded(crowd(voc, [1, 2, 20, 30]))
    assert report.facts['objects used'] == 12 * 4
    with pytest.raises(UserError, match='extend beyond their images'):
        loaded(crowd(voc, [30, 40, 50, 60]))


def open_images(made, boxes, **changes):
    """Open Images: fractions of the image in a table, sizes in a pickle."""
    (made / 'names.csv').write_text('/m/a,cat\n/m/b,dog\n')
    (made / 'tree.json').write_text('{}')
    paths = sorted((made / 'JPEGImages').iterdir())
    metas = [dict(filename=p.name, ori_shape=(64, 64, 3)) for p in paths]
    (made / 'metas.pkl').write_bytes(pickle.dumps(metas))
    rows = [
        f'{path.stem},x,/m/{"ab"[n % 2]},1,{boxes},0,0,0,0,0'
        for n, path in enumerate(paths)
        for _ in range(2)
    ]
    (made / 'train.csv').write_text('\n'.join(['head', *rows]))
    return dict(
        type='mmdet.OpenImagesDataset',
        data_root=str(made),
        ann_file='train.csv',
        label_file='names.csv',
        hierarchy_file='tree.json',
        meta_file='metas.pkl',
        data_prefix=dict(img='JPEGImages/'),
        pipeline=[dict(type='LoadImageFromFile')],
        **changes,
    )


def test_open_images(voc):
    [report] = loaded(open_images(voc, '0.1,0.9,0.2,0.8'))
    assert report.facts['objects used'] == 24
    with pytest.raises(UserError, match='extend beyond their images'):
        loaded(open_images(voc, '1,50,2,60'))  # pixels in place of fractions
    swapped = dict(metainfo=dict(classes=('dog', 'cat')))
    with pytest.raises(UserError, match=r'gives the labels .* \(cat, dog\)'):
        loaded(open_images(voc, '0.1,0.9,0.2,0.8', **swapped))


class Touch:
    """Unpickled carelessly, it makes a file."""

    def __reduce__(self):
        return os.system, ('touch executed',)


@pytest.mark.parametrize('part', ['meta_file', 'hierarchy_file'])
def test_pickles_of_open_images(voc, part, monkeypatch):
    """MMDetection executes them; kd_det reads plain values only."""
    monkeypatch.chdir(voc)
    use_safe_loading()
    leaf = open_images(voc, '0.1,0.9,0.2,0.8')
    if part == 'hierarchy_file':
        leaf['type'] = 'mmdet.OpenImagesChallengeDataset'
        leaf['ann_file'] = 'train.txt'
        (voc / 'train.txt').touch()
    (voc / leaf[part]).write_bytes(pickle.dumps([Touch()]))
    with pytest.raises(UserError) as caught:
        loaded(leaf)
    text = str(caught.value)
    assert "posix.system', which could run code" in text and '\n' not in text
    assert not (voc / 'executed').exists()


def test_what_is_not_checked_is_told(tmp_path):
    [report] = loaded(dict(type='mmdet.ODVGDataset', ann_file='a.jsonl'))
    assert 'of ODVGDataset are not checked' in report.warnings[0]
