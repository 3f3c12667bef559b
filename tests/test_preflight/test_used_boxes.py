"""What is used of a data set is counted as MMDetection does."""

import json

import numpy as np
import pytest
from mmengine.registry import DATASETS
from tiny import CLASSES

OF_ALL = dict(filter_empty_gt=True, min_size=32)


def mixed(table):
    """Every way in which MMDetection drops a box or an image, once."""
    entries = table['annotations']
    entries[0]['bbox'] = [500, 500, 9, 9]
    entries[1]['bbox'][2] = 0.5
    entries[2]['area'] = 0
    entries[3]['ignore'] = 1
    entries[4]['iscrowd'] = 1
    entries[5]['image_id'] = 77
    entries[6]['bbox'][0] = 60
    entries[7]['category_id'] = 8
    table['categories'].append(dict(id=8, name='other'))
    table['images'][0].update(width=31)  # which has no box


def dataset(folder, **changes):
    return DATASETS.build(
        dict(
            type='mmdet.CocoDataset',
            data_root=str(folder),
            ann_file='annotations/instances_train.json',
            data_prefix=dict(img='train/'),
            metainfo=dict(classes=CLASSES),
            pipeline=[],
            **changes,
        )
    )


def test_counts_are_those_of_mmdet(check, tmp_path):
    [report] = check(mixed, filter_cfg=OF_ALL, pipeline=[])
    real = dataset(tmp_path / 'data')
    instances = [i for image in real for i in image['instances']]
    facts = report.facts
    crowds = sum(i['ignore_flag'] for i in instances)
    assert facts['crowds'] == crowds == 1
    assert facts['objects used'] == len(instances) - crowds
    assert facts['images'] == len(real)
    full = sum(
        any(not i['ignore_flag'] for i in image['instances']) for image in real
    )
    assert facts['images without an object'] == len(real) - full
    kept = dataset(tmp_path / 'data', filter_cfg=OF_ALL)
    assert facts['images used'] == len(kept) < len(real)
    assert facts['of other classes'] == 1
    assert facts['left out'] == 4


def test_what_is_left_out_is_told_with_an_example(check):
    [report] = check(mixed, filter_cfg=OF_ALL, pipeline=[])
    said = '\n'.join(report.warnings)
    for reason, example in (
        ('are of an image that is not in the file', 'of image 77'),
        ('are thinner than a pixel', 'annotation 2'),
        ('lie outside the image', '[500, 500, 9, 9] in an image of 64x64'),
        ('have an area of 0 or less', 'annotation 3'),
        ('boxes extend beyond their image', 'annotation 7'),
        ('images are smaller than filter_cfg.min_size=32', '000001.png'),
    ):
        [line] = [w for w in report.warnings if reason in w]
        assert '1 of the' in line and example in line, said


def test_boxes_of_smaller_copies_of_the_images(check):
    def halve(table):
        for entry in table['annotations']:
            entry['bbox'] = [number / 2 for number in entry['bbox']]

    [report] = check(halve)
    (told,) = [w for w in report.warnings if 'smaller copies' in w]
    assert 'all 39 objects are in the left 50% and upper 50%' in told


def test_right_data_say_nothing(check):
    for report in check(splits=('train', 'val')):
        # of so few shapes a class is missing
        assert len(report.warnings) <= 1
        assert report.facts['left out'] == 0
    assert str(report).startswith('val data ')
    assert '6 images' in str(report)


@pytest.mark.parametrize('split', ['train', 'val'])
def test_all_boxes_are_of_crowds(refused, split):
    def crowd(table):
        for entry in table['annotations']:
            entry['iscrowd'] = 1

    text = refused(crowd, (split,))
    assert 'are marked as crowds' in text and 'remove the mark' in text


def test_most_boxes_are_of_crowds(check):
    def crowd(table):
        for entry in table['annotations'][1:]:
            entry['iscrowd'] = 1

    [report] = check(crowd)
    [line] = [w for w in report.warnings if 'as crowds' in w]
    assert '38 of the 39' in line


@pytest.mark.parametrize('split', ['train', 'val', 'test'])
def test_no_images_and_no_boxes(refused, split):
    def empty(table):
        table.update(images=[], annotations=[])

    def bare(table):
        table.update(annotations=[])

    assert 'and no annotations' in refused(bare, (split,))
    assert 'has no images' in refused(empty, (split,))


def test_a_test_file_without_boxes(check, tmp_path, shapes):
    """COCO's test-dev has none: predictions are only written."""
    from tiny import run_cfg

    from kd_det.preflight.data import check_data

    check()
    path = tmp_path / 'data/annotations/instances_val.json'
    table = json.loads(path.read_text())
    del table['annotations']
    path.write_text(json.dumps(table))
    cfg = run_cfg({}, tmp_path / 'data', '')
    cfg.test_evaluator.update(format_only=True, outfile_prefix='x')
    [report] = check_data(cfg, ('test',))
    assert report.facts == {'images': 6, 'images looked at': 6}


@pytest.mark.parametrize('split', ['train', 'val'])
def test_all_boxes_are_to_be_ignored(refused, split):
    def ignore(table):
        for entry in table['annotations']:
            entry['ignore'] = 1

    assert 'have ignore=1 and are left out' in refused(ignore, (split,))


def test_category_ids_that_do_not_rise(check):
    """MMDetection's table of AP by class then has other names."""

    def turn(table):
        for entry in table['categories']:
            entry['id'] = 8 - entry['id']
        for entry in table['annotations']:
            entry['category_id'] = 8 - entry['category_id']

    plain, report = check(turn, ('train', 'val'))
    assert not [w for w in plain.warnings if 'ascending' in w]
    [line] = [w for w in report.warnings if 'ascending' in w]
    assert '(7, 6, 5, 4, 3, 2, 1)' in line and 'classwise=True' in line


def test_images_that_are_trained_on_too(check, shapes, tmp_path):
    """Two folders of the same images count as one."""
    assert not any(
        'also trained on' in warning
        for report in check(splits=('train', 'val'))
        for warning in report.warnings
    )
    same = dict(
        ann_file='annotations/instances_train.json',
        data_prefix=dict(img='train/'),
    )
    train, val = check(splits=('train', 'val'), **same)
    [line] = [w for w in val.warnings if 'also trained on' in w]
    assert '12 of the 12 images' in line and 'train/000001.png' in line
    assert not [w for w in train.warnings if 'also trained on' in w]


def test_few_images_have_boxes(check):
    def few(table):
        table['annotations'] = table['annotations'][:2]

    [report] = check(few)
    [line] = [w for w in report.warnings if 'images have no object' in w]
    assert '11 of the 12 images' in line and "'000001.png'" in line


def test_an_image_listed_twice(check):
    def again(table):
        table['images'].append(dict(table['images'][0], id=99))

    [report] = check(again)
    [line] = [w for w in report.warnings if 'listed more than once' in w]
    assert '1 image file is' in line and "'000001.png'" in line


def test_a_box_twice(check):
    def again(table):
        entries = table['annotations']
        entries.append(dict(entries[0], id=99))
        entries.append(dict(entries[0], id=98, category_id=7))

    [report] = check(again)
    [line] = [w for w in report.warnings if 'same class and place' in w]
    assert '1 box with' in line and 'annotation 99' in line


def test_classes_without_an_object(check):
    def only(table):
        for entry in table['annotations']:
            entry['category_id'] = 1 + entry['category_id'] % 2

    for report in check(only, ('train', 'val')):
        [line] = report.warnings
        assert '5 classes have no object (triangle, pentagon' in line


def test_no_image_passes_the_filter(refused):
    rules = dict(filter_empty_gt=False, min_size=65)
    text = refused(filter_cfg=rules)
    assert 'None of the 12 images' in text and 'lower min_size' in text


def test_masks_that_are_read_but_not_there(refused, check):
    pipeline = [dict(type='LoadAnnotations', with_bbox=True, with_mask=True)]
    text = refused(pipeline=pipeline)
    assert '39 of the 39 objects' in text and 'with_mask=True' in text

    def add(table):
        for entry in table['annotations']:
            entry['segmentation'] = [[1, 1, 5, 1, 5, 5]]

    check(add, pipeline=pipeline)


def test_an_unknown_category_is_no_class(refused, check):
    def unknown(table):
        table['annotations'][3]['category_id'] = 99

    text = refused(unknown)
    assert '1 of the 39 annotations' in text and 'the first 99' in text

    def ignored(table):
        table['annotations'][3].update(category_id=-1, iscrowd=1)

    check(ignored)


def test_counts_of_random_tables(check, tmp_path):
    """MMDetection itself is the reference."""
    random = np.random.default_rng(0)

    def scatter(table):
        for entry in table['annotations']:
            box = random.uniform((-9, -9, 0.01, 0.01), (60, 60, 30, 30))
            entry['bbox'] = box.round(1).tolist()
            entry['area'] = float(random.integers(-1, 9))
            entry['iscrowd'] = int(random.integers(2))

    [report] = check(scatter, pipeline=[])
    real = dataset(tmp_path / 'data')
    flags = [i['ignore_flag'] for image in real for i in image['instances']]
    assert report.facts['objects used'] == flags.count(0)
    assert report.facts['crowds'] == flags.count(1)
