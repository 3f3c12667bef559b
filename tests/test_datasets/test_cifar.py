"""CIFAR's files: read as they are, refused when they are anything else."""

import os
import pickle
import socket
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from cifar_toy import make_batch, python2_pickle, write_set
from mmengine.registry import DATASETS, DefaultScope

import kd_det.registry  # noqa: F401  MMCV finds its operators
from kd_det.datasets.cifar_files import (
    CIFAR10_LAYOUT,
    CIFAR100_LAYOUT,
    read_class_names,
    read_pickle,
    read_split,
    split_files,
)
from kd_det.errors import UserError

LAYOUTS = {'CIFAR10': CIFAR10_LAYOUT, 'CIFAR100': CIFAR100_LAYOUT}
each_set = pytest.mark.parametrize('kind', LAYOUTS)


def built(kind, root, **kwargs):
    cfg = dict(type=f'kd_det.{kind}', data_root=str(root), **kwargs)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return DATASETS.build(cfg)


def names_of(kind):
    return DATASETS.get(f'kd_det.{kind}').METAINFO['classes']


def refused(path, message, call=read_pickle):
    with pytest.raises(UserError, match=message) as caught:
        call(path)
    assert '\n' not in str(caught.value) and str(path) in str(caught.value)


def by_pixel(row):
    """The image of a row, from the description on CIFAR's page."""
    image = np.empty((32, 32, 3), np.uint8)
    for y in range(32):
        for x in range(32):
            for channel in range(3):
                image[y, x, channel] = row[1024 * channel + 32 * y + x]
    return image


@each_set
@pytest.mark.parametrize('split', ['train', 'test'])
def test_samples(kind, split, tmp_path):
    layout = LAYOUTS[kind]
    batches = write_set(tmp_path, layout, names_of(kind))
    files = getattr(layout, split)
    rows = np.concatenate([batches[name][0] for name in files])
    labels = sum((batches[name][1] for name in files), [])
    dataset = built(kind, tmp_path, split=split)
    assert len(dataset) == len(labels) == 4 * len(files)
    for index, label in enumerate(labels):
        sample = dataset[index]
        assert sample['gt_label'] == label
        assert np.array_equal(sample['img'], by_pixel(rows[index]))


def test_a_pipeline_of_mmpretrain(tmp_path):
    batches = write_set(tmp_path, CIFAR10_LAYOUT, names_of('CIFAR10'))
    dataset = built(
        'CIFAR10', tmp_path, split='test', pipeline=[dict(type='PackInputs')]
    )
    rows, labels = batches['test_batch']
    assert torch.equal(
        dataset[1]['inputs'], torch.from_numpy(rows[1].reshape(3, 32, 32))
    )
    assert dataset[1]['data_samples'].gt_label.item() == labels[1]


def test_class_names():
    # both sets are numbered in the order of the alphabet
    for kind, layout in LAYOUTS.items():
        names = names_of(kind)
        assert len(set(names)) == layout.num_classes
        assert sorted(names) == list(names)
    assert names_of('CIFAR10')[3] == 'cat'
    assert names_of('CIFAR100')[:2] == ('apple', 'aquarium_fish')


@each_set
def test_missing_files(kind, tmp_path, monkeypatch):
    def offline(*args, **kwargs):
        raise AssertionError('a connection')

    monkeypatch.setattr(socket, 'socket', offline)
    layout = LAYOUTS[kind]
    folder = f'{layout.root}/{layout.folder}'
    with pytest.raises(FileNotFoundError) as caught:
        built(kind, tmp_path, split='train')
    message = str(caught.value)
    assert str(tmp_path / layout.folder / layout.train[0]) in message
    assert f'belongs in {folder}:' in message
    assert 'https://www.cs.toronto.edu/~kriz/cifar.html' in message
    converter = 'tools/convert_cifar_sheets.py' in message
    assert converter == (kind == 'CIFAR10') and '\n' not in message
    write_set(tmp_path, layout, names_of(kind))
    (tmp_path / layout.folder / layout.train[-1]).unlink()
    built(kind, tmp_path, split='test')
    with pytest.raises(FileNotFoundError, match=layout.train[-1]):
        split_files(tmp_path, layout, 'train')


def test_unknown_split(tmp_path):
    message = "CIFAR-10 has no split 'val'; accepted are 'train' and 'test'"
    with pytest.raises(UserError, match=message):
        split_files(tmp_path, CIFAR10_LAYOUT, 'val')


@pytest.mark.parametrize('key', ['labels', 'fine_labels'])
def test_official_files_are_of_python_2(tmp_path, key):
    rows, labels = make_batch(0, 3, 10)
    content = python2_pickle(labels, rows, key)
    # the bytes are a pickle: Python's own reader agrees
    theirs = pickle.loads(content, encoding='latin1')
    assert np.array_equal(theirs['data'], rows) and theirs[key] == labels
    (tmp_path / 'file').write_bytes(content)
    table = read_pickle(tmp_path / 'file')
    assert np.array_equal(table['data'], rows) and table[key] == labels


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize('order', ['C', 'F'])
def test_files_of_any_protocol(tmp_path, protocol, order):
    rows, labels = make_batch(0, 3, 10)
    table = dict(data=np.array(rows, order=order), labels=labels)
    (tmp_path / 'file').write_bytes(pickle.dumps(table, protocol))
    table = read_pickle(tmp_path / 'file')
    assert np.array_equal(table['data'], rows) and table['labels'] == labels


class Call:
    """Pickled, it is a call of a function."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    ('call', 'name'),
    [
        (lambda trace: Call(os.system, f'touch {trace}'), r'\w+\.system'),
        (lambda trace: Call(open, trace, 'w'), r'_?io\.open'),
        (lambda trace: Call(eval, f'open({trace!r}, "w")'), r'\w+\.eval'),
        (lambda trace: Call(Path.touch, Path(trace)), r'.*getattr|.*touch'),
    ],
)
def test_nothing_is_executed(tmp_path, protocol, call, name):
    trace = tmp_path / 'trace'
    rows, labels = make_batch(0, 2, 10)
    evil = dict(data=rows, labels=labels, more=call(str(trace)))
    content = pickle.dumps(evil, protocol)
    (tmp_path / 'file').write_bytes(content)
    refused(tmp_path / 'file', f"asks for '({name})', which could run code")
    assert not trace.exists()
    pickle.loads(content)  # it would have
    assert trace.exists()


@pytest.mark.parametrize(
    'content',
    [
        b'cnumpy\nndarray.__init__\n.',
        b'\x80\x04\x8c\x05numpy\x8c\x12ndarray.__reduce__\x93.',
        b'cnumpy.core.multiarray\nscalar\n.',
        b'cnumpy\nload\n.',
        b'c__main__\nx\n.',
    ],
)
def test_no_other_name_is_looked_up(tmp_path, content):
    (tmp_path / 'file').write_bytes(content)
    refused(tmp_path / 'file', "asks for '.*', which")


def test_damaged_files(tmp_path):
    rows, labels = make_batch(0, 2, 10)
    path = tmp_path / 'file'
    for content in (
        pickle.dumps(dict(data=rows, labels=labels), 4),
        python2_pickle(labels, rows, 'labels'),
    ):
        for length in [*range(120), *range(120, len(content), 50)]:
            path.write_bytes(content[:length])
            refused(path, f"'.*file' of {length} bytes is not a CIFAR file")


def test_a_damaged_number_takes_no_memory(tmp_path):
    """Place 2**31 - 1 of the memo; Python's reader in C has all before it."""
    path = tmp_path / 'file'
    path.write_bytes(b'\x80\x02}r\xff\xff\xff\x7f.')
    assert read_pickle(path) == {}
    path.write_bytes(b'\x80\x05\x96' + struct.pack('<Q', 2**42) + b'.')
    refused(path, 'not a CIFAR file')
    path.write_bytes(b'c' + b'x' * 9999 + b'\ny\n.')
    refused(path, "asks for '[x]{80}', which")


@pytest.mark.parametrize('content', [[1, 2], 'text', None, 3, {(1, 2), (3,)}])
def test_other_contents(tmp_path, content):
    (tmp_path / 'file').write_bytes(pickle.dumps(content, 3))
    refused(tmp_path / 'file', 'not a CIFAR file|could run code')


ROWS = np.zeros((2, 3072), np.uint8)


@pytest.mark.parametrize(
    ('table', 'message'),
    [
        ({}, 'has nothing; an array data and a list labels are needed'),
        (dict(data=ROWS), 'has data; an array'),
        ({'a\nb': 1}, 'has a b; an array'),
        (dict(labels=[1, 2]), 'has labels; an array'),
        (dict(data=[1], labels=[1]), 'has data, labels; an array'),
        (dict(data=ROWS, labels=(1, 2)), 'a list labels'),
        (dict(data=ROWS, fine_labels=[1, 2]), 'has data, fine_labels; an'),
        (dict(data=ROWS[:, 1:], labels=[1, 2]), r'shape \(2, 3071\) and 2 l'),
        (dict(data=ROWS, labels=[1]), r'shape \(2, 3072\) and 1 labels'),
        (dict(data=ROWS[0], labels=[1]), r'shape \(3072,\)'),
        (dict(data=ROWS, labels=[1, 10]), 'the label 10; integers .* 0 to 9'),
        (dict(data=ROWS, labels=[-1, 2]), 'the label -1;'),
        (dict(data=ROWS, labels=['1', 2]), "the label '1';"),
        (dict(data=ROWS, labels=[1.0, 2]), r'the label 1\.0;'),
        (dict(data=ROWS, labels=[True, 2]), 'the label True;'),
        (
            dict(data=ROWS.astype('f4'), labels=[1, 2]),
            'another dtype than bytes',
        ),
        (
            dict(data=ROWS.astype('i1'), labels=[1, 2]),
            'another dtype than bytes',
        ),
    ],
)
def test_wrong_contents(tmp_path, table, message):
    write_set(tmp_path, CIFAR10_LAYOUT, names_of('CIFAR10'))
    path = tmp_path / 'cifar-10-batches-py/test_batch'
    path.write_bytes(pickle.dumps(table))
    refused(
        path, message, lambda _: read_split(tmp_path, CIFAR10_LAYOUT, 'test')
    )


def test_class_names_of_the_files(tmp_path):
    layout = CIFAR10_LAYOUT
    assert read_class_names(tmp_path, layout) is None
    names = [f'class {index}' for index in range(10)]
    write_set(tmp_path, layout, names)
    assert read_class_names(tmp_path, layout) == tuple(names)
    path = tmp_path / layout.folder / layout.meta
    for content in ({}, dict(label_names='x'), dict(label_names=[3])):
        path.write_bytes(pickle.dumps(content))
        refused(
            path,
            'label_names=.*; a list of names',
            lambda _: read_class_names(tmp_path, layout),
        )


def test_import_is_light():
    code = (
        'import sys\n'
        'import kd_det.datasets, kd_det.datasets.cifar_files\n'
        "heavy = {'torch', 'mmengine', 'mmcv', 'mmdet', 'mmpretrain'}\n"
        'assert not heavy & set(sys.modules)'
    )
    subprocess.run([sys.executable, '-c', code], check=True)
