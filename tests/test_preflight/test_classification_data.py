"""Wrong folders, lists and classes are told before anything is built."""

import pickle
import shutil
from pathlib import Path

import pytest
from cifar_toy import write_set
from image_folders import loader_cfg, write_cub, write_image, write_tree
from mmengine.registry import DATASETS, init_default_scope

from kd_det.datasets.cifar_files import CIFAR10_LAYOUT, CIFAR100_LAYOUT
from kd_det.errors import UserError
from kd_det.preflight.data import check_data

CLASSES = ('dress', 'hat', 'shirt')


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpretrain')


def check(*leaves, split='train'):
    cfg = loader_cfg(*leaves)
    if split != 'train':
        cfg[f'{split}_dataloader'] = cfg.pop('train_dataloader')
    return check_data(cfg, (split,))


def refused(message, leaf, kind=UserError, split='train'):
    with pytest.raises(kind, match=message) as caught:
        check(leaf, split=split)
    assert '\n' not in str(caught.value)


@pytest.fixture
def tree(tmp_path):
    """The config of a folder tree of three classes."""
    write_tree(tmp_path / 'clothes/train', CLASSES)
    return dict(
        type='CustomDataset',
        data_root=str(tmp_path / 'clothes'),
        data_prefix='train',
        metainfo=dict(classes=CLASSES),
    )


def folder_of(leaf):
    return Path(leaf['data_root']) / 'train'


def test_right_tree(tree):
    check(tree)
    check(dict(tree, metainfo=None, classes=list(CLASSES)))
    (folder_of(tree) / 'readme.txt').touch()
    check(tree)


def test_the_data_set_reads_what_is_checked(tree):
    dataset = DATASETS.build(tree)
    names = [dataset.CLASSES[label] for label in dataset.get_gt_labels()]
    assert names == [name for name in CLASSES for _ in range(2)]


def test_no_folder(tree):
    leaf = dict(tree, data_prefix='nope')
    message = "There is no train folder '.*nope'; set data_root"
    refused(message, leaf, FileNotFoundError)
    refused('no val folder', leaf, FileNotFoundError, 'val')


def test_folder_without_folders(tree):
    shutil.rmtree(folder_of(tree))
    write_image(folder_of(tree) / 'a.png')
    refused("folder '.*train' contains no folders; one folder", tree)


def test_class_without_folder(tree):
    leaf = dict(tree, metainfo=dict(classes=('dress', 'hat', 'shirts')))
    refused(
        r"Class 'shirts' has no folder in '.*train' \(dress, hat, shirt\); "
        "write the names as there; did you mean 'shirt'",
        leaf,
    )


def test_folder_without_class(tree):
    write_tree(folder_of(tree), ['.ipynb_checkpoints'])
    refused(
        r"Folder '.ipynb_checkpoints' of .* is not one of the classes \(dress",
        tree,
    )


def test_a_folder_of_links_is_a_subset(tree, tmp_path):
    """As the page on data makes one."""
    refused('contains only those of the classes, or links', subset(tree))
    for name in ('dress', 'hat'):
        link = tmp_path / 'two/train' / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(folder_of(tree) / name)
    leaf = dict(subset(tree), data_root=str(tmp_path / 'two'))
    check(leaf)
    dataset = DATASETS.build(leaf)
    assert dataset.get_gt_labels().tolist() == [0, 0, 1, 1]


def subset(leaf):
    return dict(leaf, metainfo=dict(classes=('dress', 'hat')))


def test_another_order(tree):
    leaf = dict(tree, metainfo=dict(classes=('hat', 'dress', 'shirt')))
    refused(
        r"different order .* write classes=\('dress', 'hat', 'shirt'\)", leaf
    )


def test_a_class_twice(tree):
    leaf = dict(tree, metainfo=dict(classes=(*CLASSES, 'hat')))
    refused('different order', leaf)


def test_no_class_names(tree):
    del tree['metainfo']
    refused(r"no class names; .* classes=\('dress', 'hat', 'shirt'\)", tree)


def test_classes_as_text(tree):
    leaf = dict(tree, metainfo=dict(classes='hat'))
    refused(r"classes='hat', which is not a file; .*classes=\('hat',\)", leaf)


def test_class_without_image(tree):
    for path in (folder_of(tree) / 'hat').iterdir():
        path.rename(path.with_suffix('.gif'))
    refused("folder '.*hat' has no image; accepted are .bmp, .jpeg", tree)
    check(tree, split='val')  # there it does no harm
    for path in folder_of(tree).glob('*/*.png'):
        path.unlink()
    refused("folder '.*dress' has no image", tree, split='val')


def test_images_in_deeper_folders(tree):
    hat = folder_of(tree) / 'hat'
    for path in hat.iterdir():
        path.unlink()
    write_image(hat / 'red/1.PNG')
    check(tree)


def test_imagenet(tmp_path):
    leaf = dict(type='ImageNet', data_root=str(tmp_path), split='val')
    message = r"val folder .*val' \(get it from https://image-net.org\); set"
    refused(message, leaf, FileNotFoundError, 'val')
    write_tree(tmp_path / 'val', ['n01440764', 'n01443537'], 1)
    refused(
        r'contains 2 folders \(n01440764, n01443537\) but ImageNet has 1000 ',
        leaf,
    )
    check(dict(leaf, metainfo=dict(classes=('n01440764', 'n01443537'))))
    check(dict(leaf, split='test'), split='test')  # it has no labels


def write_list(leaf, *lines):
    path = folder_of(leaf).with_name('train.txt')
    path.write_text('\n'.join(lines))
    return dict(leaf, ann_file='train.txt')


def test_right_list(tree):
    check(write_list(tree, 'hat/0.png 1', 'dress/1.png 0'))


@pytest.mark.parametrize('line', ['hat/0.png 3', 'hat/0.png -1', 'x', 'x y '])
def test_label_of_no_class(tree, line):
    leaf = write_list(tree, 'hat/0.png 1', line)
    refused("Line 2 of '.*train.txt' ends in .* 3 classes are 0 to 2", leaf)


def test_other_lists(tree):
    leaf = write_list(tree, 'caps/0.png 1')
    message = "1 of the 1 images .* the first is 'caps/0.png'; set data_prefix"
    refused(message, leaf, FileNotFoundError)
    refused("'.*train.txt' is empty", write_list(tree))
    message = "no train annotation file '.*nope.txt'"
    refused(message, dict(tree, ann_file='nope.txt'), FileNotFoundError)
    leaf = write_list(tree, 'hat/0.png 1')
    refused('has no class names', dict(leaf, metainfo=None))


def test_any_image_of_a_list_that_is_missing(tree):
    lines = ['hat/0.png 1', 'hat/1.png 1', 'dress/7.png 0']
    message = "1 of the 3 images .* the first is 'dress/7.png'"
    refused(message, write_list(tree, *lines), FileNotFoundError)
    lines[2] = 'dress\\0.png 0'
    refused('with /', write_list(tree, *lines), FileNotFoundError)


def test_an_image_with_two_labels(tree):
    lines = ['hat/0.png 1', 'dress/0.png 0', 'hat/0.png 2']
    message = (
        "Line 3 of .* 'hat/0.png' label 2, but an earlier line gives it 1"
    )
    refused(message, write_list(tree, *lines))
    lines[2] = lines[0]
    [report] = check(write_list(tree, *lines))
    assert (
        '1 line of an image that another line also has' in report.warnings[0]
    )


def test_classes_that_a_list_does_not_use(tree):
    leaf = write_list(tree, 'hat/0.png 1', 'dress/1.png 0')
    [report] = check(leaf)
    assert report.facts == {'images': 2, 'images looked at': 2}
    assert '1 class has no image (shirt)' in report.warnings[0]


@pytest.mark.parametrize('content', [b'', b'<html>'])
def test_an_image_that_is_none(tree, content):
    (folder_of(tree) / 'hat/1.png').write_bytes(content)
    refused("hat/1.png' cannot be read", tree)
    refused("hat/1.png' cannot", write_list(tree, 'hat/1.png 1'))


def test_images_of_a_kind_that_is_not_read(tree):
    [report] = check(tree)
    assert report.facts['images'] == 6 and not report.warnings
    for name in ('0.webp', '1.GIF', 'a.txt', '.0.webp'):
        (folder_of(tree) / 'hat' / name).touch()
    [report] = check(tree)
    assert report.facts['images'] == len(DATASETS.build(tree)) == 6
    [line] = report.warnings
    assert '2 images are left out' in line and 'extensions=(…)' in line
    assert 'hat/0.webp' in line or 'hat/1.GIF' in line


@pytest.mark.parametrize(
    ('kind', 'layout'),
    [('CIFAR10', CIFAR10_LAYOUT), ('CIFAR100', CIFAR100_LAYOUT)],
)
def test_cifar(tmp_path, kind, layout):
    leaf = dict(type=f'kd_det.{kind}', data_root=str(tmp_path), split='test')
    message = f'no {layout.name} file .* belongs in {layout.root}'
    refused(message, leaf, FileNotFoundError)
    names = DATASETS.get(f'kd_det.{kind}').METAINFO['classes']
    write_set(tmp_path, layout, names)
    check(leaf)
    check(dict(leaf, metainfo=dict(classes=names)))
    wrong = ('apples' if kind == 'CIFAR100' else 'airplanes', *names[1:])
    refused(
        f"Class '{wrong[0]}' is not among the {layout.num_classes} of .* "
        f"leave classes out .*; did you mean '{names[0]}'",
        dict(leaf, metainfo=dict(classes=wrong)),
    )
    for classes in (names[1:], names[::-1]):
        refused(
            f'The {len(classes)} classes differ in number or order',
            dict(leaf, metainfo=dict(classes=classes)),
        )
    # a set of the same form with other classes
    content = pickle.dumps({layout.names_key: [*names[:-1], 'zebra']})
    (tmp_path / layout.folder / layout.meta).write_bytes(content)
    refused(f"Class '{names[-1]}' is not among", leaf)
    (tmp_path / layout.folder / layout.meta).unlink()
    check(leaf)


@pytest.mark.parametrize(
    ('kind', 'fix'),
    [
        ('CIFAR10', "write type='kd_det.CIFAR10'"),
        ('CIFAR100', "write type='kd_det.CIFAR100'"),
        ('MNIST', 'write download=False'),
    ],
)
def test_a_data_set_that_would_download(tmp_path, kind, fix):
    leaf = dict(type=kind, data_root=str(tmp_path), split='test')
    message = f'Data set {kind} would download missing files; .*{fix}'
    refused(message, leaf)
    refused(message, dict(leaf, download=True))
    check(dict(leaf, download=False))


def test_cub(tmp_path):
    leaf = dict(type='CUB', data_root=str(tmp_path / 'cub'), split='train')
    message = "no '.*images.txt' of CUB-200-2011; unpack .* https://.*caltech"
    refused(message, leaf, FileNotFoundError)
    write_cub(tmp_path / 'cub')
    check(leaf)
    path = tmp_path / 'cub/image_class_labels.txt'
    path.write_text('1 200\n2 201\n')
    refused(r"Line 2 of .* ends in '201'; .*200 classes are 1 to 200", leaf)
    path.write_text('1 0\n')
    refused("Line 1 of .* ends in '0'", leaf)
    path.unlink()
    refused('no .*image_class_labels.txt', leaf, FileNotFoundError)


def test_arguments_that_do_not_fit(tree, tmp_path):
    refused(
        'CustomDataset cannot be made .*nope.*; mend its arguments',
        dict(tree, nope=1),
    )
    leaf = dict(type='kd_det.CIFAR10', data_root=str(tmp_path), split='val')
    refused("CIFAR10 cannot be made .*'val'", leaf)


def test_scope_of_the_data_set(tree):
    init_default_scope('mmdet')
    check(dict(tree, _scope_='mmpretrain'))
    check(dict(tree, type='mmpretrain.CustomDataset'))
    refused("no data set type 'CustomDataset'", tree)


def test_every_leaf(tree):
    bad = dict(tree, data_prefix='nope')
    wrapped = dict(type='RepeatDataset', times=2, dataset=bad)
    with pytest.raises(FileNotFoundError, match='nope'):
        check(tree, wrapped)
