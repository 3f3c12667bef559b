"""Sets split by class, read from small folders in the archives' layouts."""

import mat4py
import numpy as np
import pytest
from mmengine.registry import DATASETS, DefaultScope
from PIL import Image
from tiny import spare_time

from kd_det.datasets import omniglot, retrieval
from kd_det.errors import UserError


@pytest.fixture(autouse=True, scope='module')
def fast():
    spare_time()


def picture(path, value=128, size=(8, 6)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', size, (value, 0, 0)).save(path)


@pytest.fixture
def cub(tmp_path):
    """Every tenth class of the 200, one or two images each."""
    lines = []
    for number in range(10, 201, 10):
        for k in range(1 + number % 20 // 10):
            name = f'{number:03}.Bird_{number}/Bird_{k}.jpg'
            picture(tmp_path / 'images' / name)
            lines.append(f'{len(lines) + 1} {name}')
    (tmp_path / 'images.txt').write_text('\n'.join(lines))
    return tmp_path


def counted(kind, **splits):
    """A subclass for sets that are cut down."""
    return type(kind.__name__, (kind,), dict(splits=splits))


def summary(dataset):
    return [
        (dataset.metainfo['classes'][sample['gt_label']], sample['img_path'])
        for sample in map(dataset.get_data_info, range(len(dataset)))
    ]


def test_cub_first_half_trains(cub):
    kind = counted(retrieval.CUBRetrieval, train=10, test=10)
    train, test = kind(str(cub)), kind(str(cub), 'test')
    assert train.metainfo['classes'][-1] == '100.Bird_100'
    assert test.metainfo['classes'][0] == '110.Bird_110'
    assert {*train.get_gt_labels()} == {*range(10)}
    assert len(train) == len(test) == 15
    for dataset in (train, test):
        for name, path in summary(dataset):
            assert path.startswith(f'{cub}/images/{name}/')
    assert not {n for n, _ in summary(train)} & {n for n, _ in summary(test)}


def test_class_count_is_checked(cub):
    with pytest.raises(UserError, match='has 10 classes instead of 100'):
        retrieval.CUBRetrieval(str(cub))


def test_unknown_split(cub):
    with pytest.raises(UserError, match="no split 'val'; accepted are train"):
        retrieval.CUBRetrieval(str(cub), 'val')


@pytest.mark.parametrize(
    'kind',
    [
        retrieval.CUBRetrieval,
        retrieval.CarsRetrieval,
        retrieval.SOPRetrieval,
        retrieval.MiniImageNet,
        omniglot.Omniglot,
    ],
)
def test_missing_files(kind, tmp_path):
    with pytest.raises(FileNotFoundError, match=f'of {kind.name}; unpack'):
        kind(str(tmp_path))


def test_cars(tmp_path):
    numbers = [1, 98, 98, 99, 196, 196, 196]
    paths = [f'car_ims/{k:06}.jpg' for k in range(len(numbers))]
    table = dict(relative_im_path=paths, test=[0] * 7)
    table['class'] = numbers
    mat4py.savemat(
        str(tmp_path / 'cars_annos.mat'),
        dict(annotations=table, class_names=[f'Car {k}' for k in range(196)]),
    )
    kind = counted(retrieval.CarsRetrieval, train=2, test=2)
    assert summary(kind(str(tmp_path))) == [
        ('1 Car 0', f'{tmp_path}/{paths[0]}'),
        ('98 Car 97', f'{tmp_path}/{paths[1]}'),
        ('98 Car 97', f'{tmp_path}/{paths[2]}'),
    ]
    test = kind(str(tmp_path), 'test')
    assert test.get_gt_labels().tolist() == [0, 1, 1, 1]
    file = tmp_path / 'cars_annos.mat'
    file.write_bytes(file.read_bytes()[:150])
    with pytest.raises(UserError, match='annos.mat. cannot be read as annot'):
        kind(str(tmp_path))


def test_sop(tmp_path):
    header = 'image_id class_id super_class_id path\n'
    (tmp_path / 'Ebay_train.txt').write_text(
        header + '1 1 1 bicycle_final/a.JPG\n2 1 1 bicycle_final/b.JPG\n'
    )
    (tmp_path / 'Ebay_test.txt').write_text(
        header + '3 11319 1 chair_final/c.JPG\n4 11320 1 chair_final/d.JPG\n'
    )
    kind = counted(retrieval.SOPRetrieval, train=1, test=2)
    assert summary(kind(str(tmp_path))) == [
        ('1', f'{tmp_path}/bicycle_final/a.JPG'),
        ('1', f'{tmp_path}/bicycle_final/b.JPG'),
    ]
    test = kind(str(tmp_path), 'test')
    assert test.get_gt_labels().tolist() == [0, 1]


def test_a_line_that_is_cut(tmp_path):
    header = 'image_id class_id super_class_id path\n'
    (tmp_path / 'Ebay_train.txt').write_text(header + '1 1 1\n')
    with pytest.raises(UserError, match='Line 2 of .* has 3 words instead'):
        retrieval.SOPRetrieval(str(tmp_path))


def test_mini_imagenet(tmp_path):
    (tmp_path / 'images').mkdir()
    (tmp_path / 'val.csv').write_text(
        'filename,label\nn1.jpg,n01\nn2.jpg,n02\nn3.jpg,n01\n'
    )
    kind = counted(retrieval.MiniImageNet, val=2)
    dataset = kind(str(tmp_path), 'val')
    assert dataset.get_gt_labels().tolist() == [0, 1, 0]
    assert dataset.metainfo['classes'] == ('n01', 'n02')


@pytest.fixture
def tree(tmp_path):
    for name, count in dict(dog=2, cat=1, cow=3).items():
        for k in range(count):
            picture(tmp_path / 'all' / name / f'{k}.png')
    (tmp_path / 'all/cow/notes.txt').write_text('no image')
    (tmp_path / 'all/empty').mkdir()
    return tmp_path


def test_folders_by_a_list(tree):
    dataset = retrieval.ClassFolders(f'{tree}/all', ('dog', 'cow'))
    assert dataset.metainfo['classes'] == ('dog', 'cow')
    assert dataset.get_gt_labels().tolist() == [0, 0, 1, 1, 1]
    (tree / 'test.txt').write_text('cat\n\n')
    other = retrieval.ClassFolders(f'{tree}/all', f'{tree}/test.txt')
    assert summary(other) == [('cat', f'{tree}/all/cat/0.png')]


@pytest.mark.parametrize(
    ('classes', 'error', 'message'),
    [
        ((), UserError, r'classes=\(\); one or more'),
        (('cat', 'cat'), UserError, 'one or more unique'),
        (('bird',), FileNotFoundError, "no class folder '.*all/bird'"),
        (('empty',), UserError, 'contains no images'),
        ('nope.txt', FileNotFoundError, "no class list 'nope.txt'"),
    ],
)
def test_wrong_lists(tree, classes, error, message):
    with pytest.raises(error, match=message):
        retrieval.ClassFolders(f'{tree}/all', classes)


def draw(path, corner):
    """A blot of ink on paper, in one corner."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((105, 105), 255, np.uint8)
    rows, columns = corner
    pixels[52 * rows : 52 * rows + 40, 52 * columns : 52 * columns + 40] = 0
    Image.fromarray(pixels).convert('1').save(path)


@pytest.fixture
def alphabets(tmp_path):
    """Two alphabets of two characters and two drawings."""
    for alphabet in ('Greek', 'Korean'):
        for character in (1, 2):
            folder = tmp_path / 'mine' / alphabet / f'character0{character}'
            for k in range(2):
                draw(folder / f'{k}.png', (0, character - 1))
    return tmp_path


def test_omniglot(alphabets):
    dataset = omniglot.Omniglot(str(alphabets), 'mine', image_size=10)
    assert dataset.metainfo['classes'] == (
        'Greek/character01',
        'Greek/character02',
        'Korean/character01',
        'Korean/character02',
    )
    assert dataset.get_gt_labels().tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    image = dataset.get_data_info(0)['img']
    assert image.shape == (10, 10, 1) and image.dtype == np.uint8
    assert (image[:3, :3] == 255).all() and (image[5:] == 0).all()
    assert (dataset.get_data_info(2)['img'][:3, 6:8] == 255).all()


def test_turned_characters_are_classes(alphabets):
    plain = omniglot.Omniglot(str(alphabets), 'mine', image_size=10)
    turned = omniglot.Omniglot(
        str(alphabets), 'mine', image_size=10, rotations=True
    )
    assert len(turned) == 32
    assert np.bincount(turned.get_gt_labels()).tolist() == [2] * 16
    assert turned.metainfo['classes'][:2] == (
        'Greek/character01',
        'Greek/character01 turned 90',
    )
    original = plain.get_data_info(0)['img']
    for turn in range(4):
        image = turned.get_data_info(2 * turn)['img']
        np.testing.assert_array_equal(image, np.rot90(original, turn))


def test_split_by_alphabet(alphabets):
    root = str(alphabets)
    without = omniglot.Omniglot(root, 'mine', without=('Greek',))
    alone = omniglot.Omniglot(root, 'mine', alphabets=('Korean',))
    assert without.metainfo['classes'] == alone.metainfo['classes']
    assert all(n.startswith('Korean/') for n in alone.metainfo['classes'])
    with pytest.raises(UserError, match="did you mean 'Korean'"):
        omniglot.Omniglot(root, 'mine', without=('Korea',))


def test_an_alphabet_by_its_name_alone_or_twice(alphabets):
    once = omniglot.Omniglot(str(alphabets), 'mine', alphabets='Korean')
    twice = omniglot.Omniglot(str(alphabets), 'mine', alphabets=['Korean'] * 2)
    assert len(once) == len(twice) == 4


@pytest.mark.parametrize(
    'choice',
    [dict(alphabets='Greek', without='Greek'), dict(folder='mine/Greek')],
)
def test_nothing_left(alphabets, choice):
    choice = dict(dict(folder='mine'), **choice)
    with pytest.raises(UserError, match='Omniglot has no character of'):
        omniglot.Omniglot(str(alphabets), **choice)


def test_a_character_without_a_drawing(alphabets):
    (alphabets / 'mine/Greek/character03').mkdir()
    with pytest.raises(UserError, match='character03. has no drawing'):
        omniglot.Omniglot(str(alphabets), 'mine')


def test_side_of_the_images(alphabets):
    with pytest.raises(UserError, match='image_size=0; an integer, 1 or'):
        omniglot.Omniglot(str(alphabets), 'mine', image_size=0)


def test_characters_of_an_archive_are_counted(alphabets):
    (alphabets / 'mine').rename(alphabets / 'images_background_small1')
    with pytest.raises(UserError, match='has 4 characters instead of 136'):
        omniglot.Omniglot(str(alphabets), 'images_background_small1')


def test_damaged_drawing(alphabets):
    (alphabets / 'mine/Greek/character01/0.png').write_bytes(b'no picture')
    with pytest.raises(UserError, match='0.png.* cannot be read'):
        omniglot.Omniglot(str(alphabets), 'mine')


def test_pipelines_of_mmpretrain(alphabets, tree):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        small = DATASETS.build(
            dict(
                type='kd_det.Omniglot',
                data_root=str(alphabets),
                folder='mine',
                pipeline=[
                    dict(type='RandomCrop', crop_size=28, padding=2),
                    dict(type='PackInputs'),
                ],
            )
        )
        photos = DATASETS.build(
            dict(
                type='kd_det.ClassFolders',
                data_root=f'{tree}/all',
                classes=['dog'],
                pipeline=[
                    dict(type='LoadImageFromFile'),
                    dict(type='PackInputs'),
                ],
            )
        )
    assert small[0]['inputs'].shape == (1, 28, 28)
    assert photos[0]['inputs'].shape == (3, 6, 8)
    assert photos[1]['data_samples'].gt_label.tolist() == [0]
