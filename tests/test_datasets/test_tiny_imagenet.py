"""Tiny-ImageNet in the layout of its archive."""

import pytest
from image_folders import write_tiny_imagenet
from tiny import spare_time

from kd_det.datasets.tiny_imagenet import TinyImageNet
from kd_det.errors import UserError


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    spare_time()
    folder = tmp_path_factory.mktemp('data') / 'tiny-imagenet-200'
    write_tiny_imagenet(folder)
    return folder


def test_both_splits_have_the_same_labels(root):
    train, val = TinyImageNet(str(root)), TinyImageNet(str(root), 'val')
    assert (len(train), len(val)) == (400, 200)
    classes = train.metainfo['classes']
    assert list(classes) == sorted(classes)
    assert val.metainfo['classes'] == classes
    for index in range(len(train)):
        info = train.get_data_info(index)
        folder = f'{root}/train/{classes[info["gt_label"]]}/images/'
        assert info['img_path'].startswith(folder)
    rows = (root / 'val/val_annotations.txt').read_text().splitlines()
    truth = dict(row.split('\t')[:2] for row in rows)
    found = {}
    for index in range(len(val)):
        info = val.get_data_info(index)
        folder, _, file = info['img_path'].rpartition('/')
        assert folder == f'{root}/val/images'
        found[file] = classes[info['gt_label']]
    assert found == truth


def test_the_test_split_has_no_labels(root):
    with pytest.raises(UserError, match="no split 'test'; .* train, val"):
        TinyImageNet(str(root), 'test')


@pytest.mark.parametrize('split', ['train', 'val'])
def test_no_archive(split, tmp_path):
    with pytest.raises(FileNotFoundError, match='of Tiny-ImageNet; unpack'):
        TinyImageNet(str(tmp_path), split)


def test_incomplete(tmp_path):
    folder = tmp_path / 'train/n1/images'
    folder.mkdir(parents=True)
    (folder / 'n1_0.JPEG').touch()
    with pytest.raises(UserError, match='1 classes instead of 200'):
        TinyImageNet(str(tmp_path))
