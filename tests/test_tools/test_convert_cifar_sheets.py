"""Sheets of CIFAR: cut by pixel, checked, converted to the official layout."""

import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from convert_cifar_sheets import convert_sheets, read_sheets
from PIL import Image

from kd_det.datasets.cifar_files import (
    CIFAR10_LAYOUT,
    read_class_names,
    read_split,
)
from kd_det.errors import UserError

TOOL = Path(__file__).parents[2] / 'tools/convert_cifar_sheets.py'
CLASSES = [f'class {index}' for index in range(10)]
PER_ROW, PER_SHEET = 3, 7  # a last row, and a last sheet, that are not full
COUNTS = dict(train=23, test=4)
CONSTANTS = ((0.49140, 0.24703), (0.48216, 0.24349), (0.44653, 0.26159))
REAL = Path(os.environ.get('KD_DET_DATA', ''), 'cifar10')


def write_sheets(folder: Path) -> dict:
    """Write sheets by pasting; returns split -> (images, labels)."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    splits, truth = {}, {}
    for split, count in COUNTS.items():
        images = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        labels = rng.integers(0, 10, count)
        names = []
        for first in range(0, count, PER_SHEET):
            part = images[first : first + PER_SHEET]
            rows = -(-len(part) // PER_ROW)
            sheet = Image.new('RGB', (32 * PER_ROW, 32 * rows))
            for place, image in enumerate(part):
                corner = (32 * (place % PER_ROW), 32 * (place // PER_ROW))
                sheet.paste(Image.fromarray(image), corner)
            names.append(f'{split}_{first}.webp')
            sheet.save(folder / names[-1], lossless=True, exact=True)
        digest = hashlib.sha256()
        for image in images:
            digest.update(image.tobytes())
        for label in labels:
            digest.update(int(label).to_bytes(8, 'little'))
        splits[split] = dict(
            count=count,
            sheets=names,
            labels=labels.tolist(),
            sha256=digest.hexdigest(),
        )
        truth[split] = images, labels
    shape = dict(side=32, per_row=PER_ROW, per_sheet=PER_SHEET)
    index = dict(shape, classes=CLASSES, splits=splits)
    (folder / 'index.json').write_text(json.dumps(index))
    return truth


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp('sheets') / 'toy'
    return folder, write_sheets(folder)


@pytest.fixture
def sheets(made, tmp_path):
    """A copy that a test may spoil."""
    return Path(shutil.copytree(made[0], tmp_path / 'sheets'))


@pytest.mark.parametrize('split', COUNTS)
def test_read_sheets(made, split):
    folder, truth = made
    images, labels = read_sheets(folder, split)
    assert images.dtype == np.uint8 and labels.dtype == np.int64
    assert np.array_equal(images, truth[split][0])
    assert np.array_equal(labels, truth[split][1])


def test_convert_sheets(made, tmp_path):
    folder, truth = made
    target = convert_sheets(folder, tmp_path / 'new/cifar10')
    assert target == tmp_path / 'new/cifar10/cifar-10-batches-py'
    names = {f'data_batch_{number}' for number in range(1, 6)}
    names |= {'test_batch', 'batches.meta'}
    assert {path.name for path in target.iterdir()} == names
    # as torchvision and MMPretrain read them
    with open(target / 'test_batch', 'rb') as file:
        batch = pickle.load(file, encoding='latin1')
    images, labels = truth['test']
    assert batch['labels'] == labels.tolist()
    assert batch['data'].dtype == np.uint8
    assert np.array_equal(
        batch['data'].reshape(-1, 3, 32, 32), images.transpose(0, 3, 1, 2)
    )
    for split in COUNTS:
        ours = read_split(tmp_path / 'new/cifar10', CIFAR10_LAYOUT, split)
        for array, expected in zip(ours, truth[split], strict=True):
            assert np.array_equal(array, expected)
    root = tmp_path / 'new/cifar10'
    assert read_class_names(root, CIFAR10_LAYOUT) == tuple(CLASSES)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_same_bytes_again(made, tmp_path):
    target = convert_sheets(made[0], tmp_path)
    first = contents(target)
    (target / 'data_batch_2').write_bytes(b'half')
    run = [sys.executable, str(TOOL), str(made[0]), str(tmp_path)]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert done.stdout == f'{target}\n'
    assert contents(target) == first


def test_the_tool_says_what_is_wrong(tmp_path):
    run = [sys.executable, str(TOOL), str(tmp_path), str(tmp_path / 'out')]
    done = subprocess.run(run, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith('error: There is no ')
    assert done.stderr.count('\n') == 1 and not (tmp_path / 'out').exists()


def refused(message, folder, kind=UserError, split='train'):
    with pytest.raises(kind, match=message) as caught:
        read_sheets(folder, split)
    assert '\n' not in str(caught.value)


def change(sheets, spoil):
    index = json.loads((sheets / 'index.json').read_text())
    spoil(index)
    (sheets / 'index.json').write_text(json.dumps(index))


def test_missing_files(sheets):
    (sheets / 'train_7.webp').unlink()
    refused("no sheet '.*train_7.webp'", sheets, FileNotFoundError)
    (sheets / 'index.json').unlink()
    refused("no '.*index.json'", sheets, FileNotFoundError)


def test_unknown_split(sheets):
    refused("no split 'val'; accepted are train, test", sheets, split='val')


@pytest.mark.parametrize('text', ['', '[]', '3', '{}', '{"side": 32}', 'x'])
def test_no_index(sheets, text):
    (sheets / 'index.json').write_text(text)
    refused("index.json' is no index of CIFAR sheets; it needs", sheets)


@pytest.mark.parametrize('entry', ['count', 'sheets', 'labels', 'sha256'])
def test_incomplete_index(sheets, entry):
    change(sheets, lambda index: index['splits']['train'].pop(entry))
    refused('is no index of CIFAR sheets', sheets)


@pytest.mark.parametrize(
    'entry', ['side', 'per_row', 'per_sheet', 'classes', 'splits']
)
def test_index_without(sheets, entry):
    change(sheets, lambda index: index.pop(entry))
    refused('is no index of CIFAR sheets', sheets)


def test_another_pixel(sheets):
    path = sheets / 'train_7.webp'
    with Image.open(path) as picture:
        pixels = np.array(picture)
    pixels[0, 0, 0] ^= 1
    Image.fromarray(pixels).save(path, lossless=True, exact=True)
    refused('are damaged: the train split has sha256', sheets)


def test_another_label(sheets):
    def spoil(index):
        index['splits']['train']['labels'][0] += 1

    change(sheets, spoil)
    refused('are damaged: the train split has sha256', sheets)


def test_another_order(sheets):
    change(sheets, lambda index: index['splits']['train']['sheets'].reverse())
    refused('are damaged: the train split has sha256', sheets)


def test_another_size(sheets):
    with Image.open(sheets / 'train_7.webp') as picture:
        picture.resize((64, 96)).save(sheets / 'train_7.webp')
    refused('has 64 x 96 pixels; 3 images of 32 pixels to a row', sheets)


def test_damaged_sheet(sheets):
    path = sheets / 'train_7.webp'
    path.write_bytes(path.read_bytes()[:40])
    refused("Sheet '.*train_7.webp' cannot be read", sheets)


def test_a_sheet_outside_the_folder(sheets, tmp_path):
    (sheets / 'train_7.webp').rename(tmp_path / 'train_7.webp')

    def spoil(index):
        index['splits']['train']['sheets'][1] = '../train_7.webp'

    change(sheets, spoil)
    refused("no sheet '.*sheets/train_7.webp'", sheets, FileNotFoundError)


def test_other_classes_are_not_converted(sheets, tmp_path):
    change(sheets, lambda index: index['classes'].pop())
    with pytest.raises(UserError, match='have 9 classes; only CIFAR-10'):
        convert_sheets(sheets, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


@pytest.mark.skipif(
    not (REAL / 'index.json').is_file(),
    reason='KD_DET_DATA names no folder with the sheets of CIFAR-10',
)
def test_the_real_sheets(tmp_path):
    convert_sheets(REAL, tmp_path)
    for split, count in dict(train=5000, test=1000).items():
        images, labels = read_split(tmp_path, CIFAR10_LAYOUT, split)
        assert np.bincount(labels).tolist() == [count] * 10
        if split == 'train':  # the published constants
            for channel, (mean, std) in enumerate(CONSTANTS):
                counts = np.bincount(images[..., channel].ravel())
                levels = np.arange(256) / 255
                found = np.average(levels, weights=counts)
                spread = np.average((levels - found) ** 2, weights=counts)
                assert found == pytest.approx(mean, abs=1e-5)
                assert spread**0.5 == pytest.approx(std, abs=1e-5)
