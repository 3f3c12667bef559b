"""What names a training set: where it lies does not, what it holds does."""

import copy
import hashlib
import json

import pytest
from cifar_toy import write_set
from image_folders import loader_cfg, write_cub, write_tree
from mmengine.registry import DATASETS, init_default_scope
from mmengine.runner import Runner
from tiny import run_cfg, tiny_spec

from kd_det.datasets import SHAPES_CLASSES
from kd_det.datasets.cifar_files import CIFAR10_LAYOUT
from kd_det.datasets.run_data import RunData
from kd_det.models.spec import read_spec

CLASSES = ('dress', 'hat')


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpretrain')


def sha(*leaves):
    return RunData(loader_cfg(*leaves)).train.sha256


def files(*leaves):
    return RunData(loader_cfg(*leaves)).train.sources


def tree(root, **kwargs):
    return dict(
        type='CustomDataset',
        data_root=str(root),
        data_prefix='train',
        metainfo=dict(classes=CLASSES),
        **kwargs,
    )


def test_coco(tmp_path):
    """The digest of the file, as in every bank made so far."""
    leaves = []
    for name in 'ab':
        table = dict(images=[name], annotations=[], categories=[])
        (tmp_path / f'{name}.json').write_text(json.dumps(table))
        leaves.append(
            dict(
                type='mmdet.CocoDataset',
                data_root=str(tmp_path),
                ann_file=f'{name}.json',
            )
        )
    digests = [
        hashlib.sha256((tmp_path / f'{name}.json').read_bytes()).hexdigest()
        for name in 'ab'
    ]
    assert sha(leaves[0]) == digests[0]
    both = hashlib.sha256(''.join(digests).encode()).hexdigest()
    assert sha(*leaves) == both
    assert files(*leaves) == [f'{tmp_path}/a.json', f'{tmp_path}/b.json']
    plain = dict(
        type='mmdet.CocoDataset', ann_file=f'{tmp_path}/a.json', data_root=None
    )
    assert sha(plain) == digests[0]


def test_tree_by_hand(tmp_path):
    write_tree(tmp_path / 'train', CLASSES)
    text = (
        b'11 dress/0.png 0\n11 dress/1.png 0\n9 hat/0.png 1\n9 hat/1.png 1\n'
    )
    assert sha(tree(tmp_path)) == hashlib.sha256(text).hexdigest()
    assert files(tree(tmp_path)) == [f'{tmp_path}/train']


def test_tree_elsewhere_or_as_a_list(tmp_path):
    lines = []
    for place in 'ab':
        write_tree(tmp_path / place / 'train', CLASSES)
    for label, name in enumerate(CLASSES):
        lines += [f'{name}/{number}.png {label}' for number in range(2)]
    expected = sha(tree(tmp_path / 'a'))
    assert sha(tree(tmp_path / 'b')) == expected
    (tmp_path / 'a/list.txt').write_text('\n'.join(lines))
    listed = tree(tmp_path / 'a', ann_file='list.txt')
    assert sha(listed) == expected
    assert files(listed) == [f'{tmp_path}/a/list.txt']


def test_other_samples(tmp_path):
    root = tmp_path / 'train'
    write_tree(root, CLASSES)
    seen = {sha(tree(tmp_path)), sha(tree(tmp_path, indices=3))}
    (root / 'hat/0.png').rename(root / 'hat/2.png')
    seen.add(sha(tree(tmp_path)))
    (root / 'hat/2.png').rename(root / 'dress/2.png')
    seen.add(sha(tree(tmp_path)))
    (root / 'dress/2.png').unlink()
    seen.add(sha(tree(tmp_path)))
    assert len(seen) == 5
    again = sha(tree(tmp_path), tree(tmp_path))
    assert again not in seen  # of several: that of their sha256
    one = sha(tree(tmp_path))
    assert again == hashlib.sha256(2 * one.encode()).hexdigest()


def test_cifar(tmp_path):
    names = DATASETS.get('kd_det.CIFAR10').METAINFO['classes']
    batches = write_set(tmp_path, CIFAR10_LAYOUT, names)
    leaf = dict(type='kd_det.CIFAR10', data_root=str(tmp_path), split='test')
    digest = hashlib.sha256()
    for row, label in zip(*batches['test_batch'], strict=True):
        pixels = row.reshape(3, 32, 32).transpose(1, 2, 0)
        digest.update(b'3072 ' + pixels.tobytes() + b' %d\n' % label)
    assert sha(leaf) == digest.hexdigest()
    assert sha(dict(leaf, split='train')) != digest.hexdigest()
    assert files(leaf) == [str(tmp_path)]


def test_cub(tmp_path):
    write_cub(tmp_path)
    leaf = dict(type='CUB', data_root=str(tmp_path), split='train')
    text = b'14 001.bird/2.jpg 0\n14 002.bird/5.jpg 1\n'
    assert sha(leaf) == hashlib.sha256(text).hexdigest()
    assert files(leaf) == [f'{tmp_path}/images.txt']


def test_pipelines_and_wrappers_do_not_count(tmp_path):
    write_tree(tmp_path / 'train', CLASSES)
    expected = sha(tree(tmp_path))
    pipeline = [dict(type='NoSuchTransform')]
    wrapped = dict(
        type='RepeatDataset',
        times=2,
        dataset=tree(tmp_path, pipeline=pipeline, lazy_init=True),
    )
    assert sha(wrapped) == expected


def test_what_is_left_out_counts(tmp_path):
    """A fold, a subset and a user's wrapper are other training sets."""
    write_tree(tmp_path / 'train', CLASSES)
    whole = tree(tmp_path)
    folds = [
        dict(type='KFoldDataset', dataset=whole, num_splits=4, fold=fold)
        for fold in (0, 1)
    ]
    found = [*map(sha, (whole, *folds))]
    found.append(sha(dict(folds[0], test_mode=True)))
    found.append(sha(tree(tmp_path, indices=3)))
    assert len({*found}) == 5
    assert sha(folds[0]) == found[1]


def test_indices_of_a_detection_set(shapes):
    leaf = run_cfg({}, shapes, '').train_dataloader.dataset
    leaf.type = 'mmdet.CocoDataset'
    parts = [dict(leaf, indices=indices) for indices in (4, [4, 5])]
    assert len({sha(leaf), *map(sha, parts)}) == 3
    mixed = dict(
        type='mmdet.MultiImageMixDataset',
        dataset=leaf,
        pipeline=[dict(type='NoSuchTransform')],
    )
    assert sha(mixed) == sha(leaf)


def test_a_runner_has_its_data_looked_up_once(shapes, tmp_path):
    cfg = run_cfg(tiny_spec(), shapes, tmp_path)
    cfg.model = read_spec(cfg.model, 'student')[0]
    runner = Runner.from_cfg(cfg)
    data = RunData.of(runner)
    assert RunData.of(runner) is data is RunData.of(data)
    assert data.train.leaves[0] is data.train.leaves[0]
    assert data.train.sources == [f'{shapes}/annotations/instances_train.json']
    assert data.val.classes == SHAPES_CLASSES
    assert [metric['type'] for metric in data.val.metrics] == ['CocoMetric']
    cfg.pop('val_dataloader')
    assert RunData(cfg).val is None


def test_other_pipelines(shapes):
    """Wherever they are; images are not mixed then."""
    init_default_scope('mmdet')
    cfg = run_cfg({}, shapes, '')
    leaf = cfg.train_dataloader.dataset
    cfg.train_dataloader.dataset = dict(
        type='RepeatDataset',
        times=2,
        dataset=dict(
            type='MultiImageMixDataset',
            dataset=dict(leaf, pipeline=leaf.pipeline[:2]),
            pipeline=[dict(type='Mosaic'), *leaf.pipeline[2:]],
        ),
    )
    before = copy.deepcopy(cfg.to_dict())
    dataset = RunData(cfg).train.build(lambda own: own[:1])
    assert len(dataset) == 24
    assert dataset[13]['img'].shape == (64, 64, 3)
    assert 'inputs' in RunData(cfg).train.build()[0]
    assert cfg.to_dict() == before
