"""CIFAR's pipeline in one go: batches and random numbers of mmpretrain's."""

import numpy as np
import pytest
import torch
from cifar_toy import write_set
from mmengine.dataset import default_collate, pseudo_collate
from mmengine.registry import init_default_scope
from mmpretrain import datasets
from mmpretrain.models.utils import ClsDataPreprocessor

from kd_det import random_state
from kd_det.datasets import cifar
from kd_det.datasets.cifar_files import CIFAR10_LAYOUT, read_split

CROP = dict(type='RandomCrop', crop_size=32, padding=4)
FLIP = dict(type='RandomFlip', prob=0.3, direction='horizontal')
PACK = dict(type='PackInputs')


class Own(datasets.CIFAR10):
    """As mmpretrain keeps and augments the images."""

    def load_data_list(self):
        root = self.data_prefix['root']
        images, labels = read_split(root, CIFAR10_LAYOUT, self.split)
        pairs = zip(images, labels.tolist())
        return [dict(img=image, gt_label=label) for image, label in pairs]


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    init_default_scope('mmpretrain')
    folder = tmp_path_factory.mktemp('cifar')
    write_set(folder, CIFAR10_LAYOUT, cifar.CIFAR10.METAINFO['classes'])
    return str(folder)


def both(root, pipeline, **kwargs):
    own = dict(data_root=root, split='train', pipeline=pipeline, **kwargs)
    return cifar.CIFAR10(**own), Own(**own)


def batches_of(dataset, order):
    """Batches of 7 and what is drawn after them."""
    random_state.seed_all(3)
    parts = [[dataset[i] for i in own] for own in order.reshape(-1, 7)]
    return parts, np.random.random_sample()


def content(sample):
    """What a packed sample holds besides the image."""
    sample = sample['data_samples']
    return [
        sorted((key, repr(value)) for key, value in items())
        for items in (sample.metainfo_items, sample.items)
    ]


@pytest.mark.parametrize(
    'pipeline', [[CROP, FLIP, PACK], [FLIP, PACK], [CROP, PACK], [PACK]]
)
def test_batches_are_equal(root, pipeline):
    ours, theirs = both(root, pipeline)
    assert ours._quick is not None
    order = np.random.default_rng(0).integers(-19, 20, 70)
    found, wanted = batches_of(ours, order), batches_of(theirs, order)
    assert found[1] == wanted[1]
    preprocessor = ClsDataPreprocessor(mean=[1.0] * 3, std=[3.0] * 3)
    for one, other in zip(found[0], wanted[0]):
        assert one[0]['inputs'].dtype == torch.uint8
        for sample, reference in zip(one, other):
            assert torch.equal(sample['inputs'], reference['inputs'])
            assert content(sample) == content(reference)
            sample['data_samples'].gt_label.fill_(5)  # is its own
        stacked = preprocessor(default_collate(one))['inputs']
        listed = preprocessor(pseudo_collate(other))['inputs']
        assert torch.equal(stacked, listed)


@pytest.mark.parametrize(
    'pipeline',
    [
        [FLIP, CROP, PACK],
        [dict(CROP, padding=(4, 2)), PACK],
        [dict(FLIP, direction='vertical'), PACK],
        [dict(CROP, pad_val=9), PACK],
        [dict(type='ColorJitter', brightness=0.5), PACK],
        [CROP, dict(PACK, meta_keys=('sample_idx',))],
        [],
    ],
)
def test_other_pipelines_run_as_they_are(root, pipeline):
    """Those that are not known, or not proven, are left to mmpretrain."""
    ours, theirs = both(root, pipeline)
    for index in range(5):
        random_state.seed_all(index)
        found = ours[index]
        random_state.seed_all(index)
        wanted = theirs[index]
        if not pipeline:
            assert np.array_equal(found['img'], wanted['img'])
            continue
        assert torch.equal(found['inputs'], wanted['inputs'])
        assert content(found) == content(wanted)


def test_some_of_the_images(root):
    ours, theirs = both(root, [PACK], indices=[4, 2, 9])
    assert len(ours) == 3
    for index in range(3):
        assert torch.equal(ours[index]['inputs'], theirs[index]['inputs'])
    assert (
        ours.get_data_info(1)['gt_label'] == ours[1]['data_samples'].gt_label
    )
