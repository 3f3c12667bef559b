"""Images that are missing, damaged or of differ in size from stated."""

import shutil

import cv2
import numpy as np
import pytest
from PIL import Image

from kd_det.preflight.image_files import ORIENTATION, read_size

LOADER = dict(type='LoadImageFromFile')


@pytest.fixture
def own_images(check, tmp_path, shapes):
    """Give the checked folder images of its own, and return that."""
    check()
    folder = tmp_path / 'data/train'
    folder.unlink()
    shutil.copytree(shapes / 'train', folder)
    return folder


def write_turned(path, size, orientation):
    image = Image.new('RGB', size, (200, 30, 90))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    image.save(path, 'jpeg', exif=exif)


@pytest.mark.parametrize('orientation', range(1, 9))
def test_size_is_that_of_the_loaded_image(tmp_path, orientation):
    """OpenCV, which loads the images, is the reference."""
    path = str(tmp_path / 'a.jpg')
    write_turned(path, (40, 24), orientation)
    height, width = cv2.imread(path).shape[:2]
    assert read_size(path, LOADER) == (width, height)
    for loader in (
        dict(color_type='color_ignore_orientation'),
        dict(imdecode_backend='turbojpeg'),
    ):
        assert read_size(path, loader) == (40, 24)


def test_images_turned_by_exif(refused, own_images):
    """Their size in the file is that of the unturned pixels."""
    for number in (2, 7):
        path = own_images / f'{number:06}.png'
        write_turned(path, (64, 48), 6)

    def stated(table):
        for image in table['images']:
            if image['id'] in (2, 7):
                image['height'] = 48

    text = refused(stated)
    assert '2 of the 12 images checked differ in size' in text
    assert "'000002.png': 48x64 pixels as loaded, 64x48 in" in text
    assert 'its EXIF data rotate it' in text


def test_a_pipeline_that_does_not_turn_them(check, own_images):
    write_turned(own_images / '000002.png', (64, 48), 6)

    def stated(table):
        table['images'][1]['height'] = 48

    loader = dict(LOADER, color_type='color_ignore_orientation')
    [report] = check(stated, pipeline=[loader])
    assert report.facts['images looked at'] == 12


@pytest.mark.parametrize('size', [(128, 128), (0, 0), (64, 63), (-1, -1)])
@pytest.mark.parametrize('split', ['train', 'val'])
def test_sizes_that_the_images_do_not_have(refused, size, split):
    def stated(table):
        for image in table['images']:
            image.update(width=size[0], height=size[1])

    text = refused(stated, (split,))
    assert 'differ in size from' in text and '64x64 pixels as loaded' in text
    assert 'write the width and height of the images' in text


def test_few_wrong_sizes_among_many(check, own_images):
    """One in two hundred is told, and does not stop the run."""

    def many(table):
        if len(table['images']) == 6:
            return
        for number in range(20, 240):
            name = f'{number:06}.png'
            (own_images / name).hardlink_to(own_images / '000001.png')
            image = dict(id=number, file_name=name, width=64, height=64)
            table['images'].append(image)
        table['images'][100]['width'] = 65

    [report] = check(many)
    [line] = [w for w in report.warnings if 'differ in size' in w]
    assert '1 of the 232 images checked' in line


@pytest.mark.parametrize('content', [b'', b'<html>', b'\x89PNG\r\n\x1a\n123'])
def test_an_image_that_is_none(refused, own_images, content):
    (own_images / '000003.png').write_bytes(content)
    text = refused()
    assert "000003.png' cannot be read" in text and 'copy it again' in text


def test_an_image_that_pillow_cannot_read(check, own_images, tmp_path):
    """What OpenCV decodes is right, though its header is not read."""
    path = tmp_path / 'a.pfm'
    cv2.imwrite(str(path), np.zeros((24, 40), np.float32))
    assert read_size(str(path), LOADER) == (40, 24)


def test_images_are_looked_for_in_their_folders(check, own_images):
    def move(table):
        for number, image in enumerate(table['images']):
            folder = own_images / f'part{number % 3}'
            folder.mkdir(exist_ok=True)
            name = image['file_name']
            target = folder / name
            if not target.exists():
                (own_images / name).rename(target)
            image['file_name'] = f'part{number % 3}/{name}'

    def only_train(table):
        if len(table['images']) == 12:
            move(table)

    check(only_train)


def first_named(name):
    def change(table):
        image = table['images'][0]
        image['file_name'] = name.format(image['file_name'])

    return change


@pytest.mark.parametrize('name', ['../train/{}', './{}', '{folder}/{}'])
def test_names_by_way_of_other_folders(check, own_images, name):
    """Silent, as long as they stay in data_root."""
    name = name.replace('{folder}', str(own_images))
    [report] = check(first_named(name))
    assert not any('path' in line for line in report.warnings)


def test_names_that_climb_out_of_data_root(refused, own_images, shapes):
    (own_images.parents[1] / 'train').symlink_to(shapes / 'train')
    text = refused(first_named('../../train/{}'))
    assert "'../../train/000001.png', which leads out of" in text
    assert 'or set data_root to a folder that contains all' in text


def test_absolute_names(check, own_images, shapes):
    """They may be meant: told, and read."""
    [report] = check(first_named(f'{shapes}/train/{{}}'))
    (told,) = [w for w in report.warnings if 'absolute path' in w]
    assert told.startswith('1 image has an absolute path outside')


@pytest.mark.parametrize(
    'change, hint',
    [
        ('train/{}'.format, "'000001.png' exists: remove the folder"),
        (str.upper, "'000001.png' exists: write its name like this"),
        ('train\\{}'.format, 'with /'),
        ('x{}'.format, "set data_prefix=dict(img='FOLDER/')"),
    ],
)
def test_where_a_missing_image_may_be(refused, change, hint):
    def rename(table):
        for image in table['images']:
            image['file_name'] = change(image['file_name'])

    text = refused(rename, kind=FileNotFoundError)
    assert '12 of the 12 images' in text and hint in text


def test_accents_written_in_another_way(refused, own_images):
    """As macOS writes them into archives."""
    (own_images / '000001.png').rename(own_images / 'e\u0301.png')

    def rename(table):
        table['images'][0]['file_name'] = '\u00e9.png'

    text = refused(rename, kind=FileNotFoundError)
    assert '1 of the 12 images' in text and 'write its name like this' in text


def test_other_loaders_are_left_alone(check):
    """What reads no image file, or from elsewhere, has a size of its own."""

    def stated(table):
        for image in table['images']:
            image.update(width=70)

    check(stated, pipeline=[dict(type='LoadImageFromNDArray')])
    check(stated, backend_args=dict(backend='petrel'))
