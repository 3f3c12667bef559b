"""What is wrong with the data is said before anything is built."""

import copy
import json

import pytest
from mmdet.datasets import CocoDataset
from mmengine.registry import DATASETS, init_default_scope
from tiny import CLASSES, other_annotations, run_cfg

from kd_det.errors import UserError
from kd_det.preflight.data import check_data


@pytest.fixture
def check(shapes, tmp_path):
    """Check the shapes with changed annotations or a changed data set."""
    init_default_scope('mmdet')

    def run(change=lambda table: None, splits=('train',), **dataset):
        folder = other_annotations(shapes, tmp_path / 'data', change)
        cfg = run_cfg({}, folder, '')
        cfg.train_dataloader.dataset.update(dataset)
        check_data(cfg, splits)

    return run


def refused(message, check, *args, kind=UserError, **kwargs):
    with pytest.raises(kind, match=message) as caught:
        check(*args, **kwargs)
    assert '\n' not in str(caught.value)


def test_right_data(check):
    check(splits=('train', 'val', 'test'))


@pytest.mark.parametrize('classes', [CLASSES, list(CLASSES)])
def test_classes_as_tuple_or_list(check, classes):
    check(metainfo=dict(classes=classes))


def test_some_of_the_classes(check):
    check(metainfo=dict(classes=(CLASSES[1], CLASSES[4])))


def test_classes_in_a_file(check, tmp_path):
    (tmp_path / 'names.txt').write_text('\n'.join(CLASSES))
    check(metainfo=dict(classes=str(tmp_path / 'names.txt')))


def test_classes_as_text(check):
    message = r"classes='circle', which is not a file; .*classes=\('circle',\)"
    refused(message, check, metainfo=dict(classes='circle'))


def test_own_classes_of_a_data_set(check):
    def rename(table):
        table['categories'] = [dict(id=1, name='person')]

    message = "Class 'bicycle' is not among the categories of .*train.json"
    refused(message, check, rename, metainfo=None)


def test_unknown_data_set(check):
    message = "no data set type 'CocoDatasett'"
    refused(message, check, metainfo=None, type='CocoDatasett')


def test_no_file(check):
    message = "no train annotation file '.*nope.json'; set data_root"
    refused(message, check, kind=FileNotFoundError, ann_file='nope.json')
    with pytest.raises(FileNotFoundError):
        check_data(run_cfg({}, 'no_folder', ''), ('val',))


@pytest.mark.parametrize('ann_file', [None, ''])
def test_no_name_of_a_file(check, ann_file):
    message = 'no train annotation file'
    refused(message, check, kind=FileNotFoundError, ann_file=ann_file)


@pytest.mark.parametrize(
    'content',
    [
        b'',
        b'{"images": [',
        b'[]',
        b'{}',
        b'3',
        b'\xff\xfe',
        b'<xml/>',
        b'{"images": [], "annotations": [], "categories": [1]}',
        b'{"images": [], "annotations": null, "categories": []}',
        b'{"categories": [], "annotations": [{"id": 3}]}',
        b'{"categories": [], "annotations": [], "images": [{"id": 1}]}',
    ],
)
def test_no_coco_json(check, tmp_path, content):
    (tmp_path / 'file.json').write_bytes(content)
    refused(
        r"file.json' is not COCO json \(.*\); it needs images",
        check,
        ann_file=str(tmp_path / 'file.json'),
    )


@pytest.mark.parametrize('key', ['id', 'image_id', 'bbox', 'area'])
def test_an_annotation_lacks_what_mmdet_reads(check, key):
    refused(
        rf"is not COCO json \(KeyError\('{key}'\)\); it needs .*area",
        check,
        lambda table: table['annotations'][-1].pop(key),
    )


def test_misspelt_class(check):
    classes = ('circle', 'squares', *CLASSES[2:])
    refused(
        "Class 'squares' is not .*; write the names .*did you mean 'square'",
        check,
        metainfo=dict(classes=classes),
    )


def test_another_order(check):
    classes = (CLASSES[1], CLASSES[0], *CLASSES[2:])
    refused(
        r"in a different order .* write classes=\('circle', 'square', 'tri",
        check,
        metainfo=dict(classes=classes),
    )


def test_another_order_in_the_validation_file(shapes, tmp_path):
    """What the sentence advises works, and keeps the training alone."""
    folder = other_annotations(shapes, tmp_path / 'x', lambda table: None)
    path = folder / 'annotations/instances_val.json'
    table = json.loads(path.read_text())
    categories = table['categories']
    path.write_text(json.dumps(dict(table, categories=categories[::-1])))
    cfg = run_cfg({}, folder, '')
    check_data(cfg, ('train',))
    for splits in (('train', 'val'), ('test',)):
        with pytest.raises(UserError) as caught:
            check_data(cfg, splits)
        message = str(caught.value)
        assert f'lists its categories as {CLASSES[::-1]}' in message
        assert f'order of the classes, {CLASSES}, and keep' in message
    order = [category['name'] for category in categories]
    entries = sorted(categories[::-1], key=lambda c: order.index(c['name']))
    path.write_text(json.dumps(dict(table, categories=entries)))
    check_data(cfg)


def test_a_class_twice_in_the_list(check):
    classes = (*CLASSES, CLASSES[0])
    refused('different order', check, metainfo=dict(classes=classes))


def test_a_category_twice(check):
    def twice(table):
        table['categories'].append(dict(id=99, name='circle'))

    refused("Category 'circle' occurs more than once", check, twice)


def test_ids_that_match_no_class(check):
    def shift(table):
        for annotation in table['annotations']:
            annotation['category_id'] += 100

    message = 'No annotation .* id of the classes .* ids 101, 102, .*have 1, 2'
    refused(message, check, shift)


def test_ids_of_other_categories(check):
    def other(table):
        table['categories'].append(dict(id=0, name='thing'))
        for annotation in table['annotations']:
            annotation['category_id'] = 0

    refused('No annotation .* uses ids 0, the categories', check, other)


def test_odd_ids(check):
    def odd(table):
        for i, annotation in enumerate(table['annotations']):
            annotation['category_id'] = [None, 'x', 3.5][i % 3]

    refused('No annotation .* has a category id of the classes', check, odd)


def test_names_that_are_no_text(check):
    def number(table):
        for category in table['categories']:
            category['name'] = category['id']

    refused("'circle' is not among .*1, 2, 3", check, number)


def test_only_the_splits_that_will_be_read(shapes):
    cfg = run_cfg({}, shapes, '')
    broken = copy.deepcopy(cfg)
    broken.val_dataloader.dataset.ann_file = 'nope.json'
    check_data(broken, ('train',))
    with pytest.raises(FileNotFoundError, match='no val annotation'):
        check_data(broken)
    cfg.test_dataloader = None
    check_data(cfg)


def test_every_file_of_several(check, shapes, tmp_path):
    leaf = run_cfg({}, shapes, '').train_dataloader.dataset
    bad = dict(leaf, ann_file='second.json')
    cfg = run_cfg({}, shapes, '')
    cfg.train_dataloader.dataset = dict(
        type='RepeatDataset',
        dataset=dict(type='ConcatDataset', datasets=[leaf, bad]),
    )
    with pytest.raises(FileNotFoundError, match='second.json'):
        check_data(cfg, ('train',))


@pytest.mark.parametrize(
    'change, reason',
    [
        (dict(image_id=10**6), 'of image 1000000, not in images'),
        (dict(area=0), r'\] in an image of 64x64 pixels.*an area above 0'),
    ],
)
def test_no_usable_box(check, change, reason):
    def spoil(table):
        for entry in table['annotations']:
            entry.update(change)

    refused(f'no usable box in .*train.json.*{reason}', check, spoil)


def test_images_that_are_not_there(check):
    def rename(table):
        table['images'][1]['file_name'] = 'lost.png'

    message = "1 of the .* images of .* are not in .*train.*'lost.png'"
    refused(message, check, rename, kind=FileNotFoundError)


@DATASETS.register_module(name='OwnOfTests', force=True)
class Own(CocoDataset):
    """A user's: other names by default."""

    METAINFO = dict(classes=('cell',))


@DATASETS.register_module(name='SortedOfTests', force=True)
class Sorted(CocoDataset):
    """A user's that numbers the classes by name."""

    def load_data_list(self):
        found = super().load_data_list()
        places = sorted(self.cat2label, key=lambda i: CLASSES[i - 1])
        labels = [self.cat2label[i] for i in places]
        self.cat2label = {i: label for label, i in enumerate(places)}
        for info in found:
            for instance in info['instances']:
                label = labels.index(instance['bbox_label'])
                instance['bbox_label'] = label
        return found


KINDS = [
    'CityscapesDataset',
    'DeepFashionDataset',
    'Objects365V1Dataset',
    'Objects365V2Dataset',
    'OwnOfTests',
    Own,
]


@pytest.mark.parametrize('kind', KINDS)
def test_types_that_extend_that_of_coco(check, kind):
    check(type=kind, splits=('train', 'val'))


@pytest.mark.parametrize('kind', KINDS)
def test_swapped_names_of_a_type_that_extends_it(check, kind):
    metainfo = dict(classes=(CLASSES[1], CLASSES[0], *CLASSES[2:]))
    message = r"classes=\('circle', 'square'"
    refused(message, check, type=kind, metainfo=metainfo)


def test_labels_in_an_order_of_its_own(check):
    """The data set is asked, not its file."""
    message = r"Sorted gives the labels .*; write classes=\('circle', 'cross'"
    refused(message, check, type='SortedOfTests')


def test_classes_in_an_order_of_its_own(check):
    metainfo = dict(classes=tuple(sorted(CLASSES)))
    check(type='SortedOfTests', metainfo=metainfo)


def test_categories_of_objects365_in_another_order(check):
    """Its version 1 sorts them by id; MMDetection's COCO does not."""

    def turn(table):
        table['categories'].reverse()

    check(turn, type='Objects365V1Dataset')
