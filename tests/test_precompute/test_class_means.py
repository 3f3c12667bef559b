"""The class means against a plain float64 loop over the data set."""

import copy

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, init_default_scope
from tiny import (
    CLASSES,
    NUM,
    build,
    other_annotations,
    pair_cfg,
    run_cfg,
    tiny_spec,
)
from torch.nn.functional import pad

from kd_det import random_state
from kd_det.centroids import CentroidBank
from kd_det.datasets.run_data import RunData
from kd_det.errors import UserError
from kd_det.files import sha256_of
from kd_det.precompute.centroids import compute_bank, norm_table
from kd_det.testing import save_teacher

SCALE = (96, 96)  # of images of 64 pixels: the boxes must follow
PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=SCALE, keep_ratio=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_shape', 'scale_factor'),
    ),
]


@pytest.fixture(scope='module')
def distiller(teacher):
    return build(pair_cfg(teacher)).distill['roi']


@pytest.fixture
def cfg(shapes):
    return resized({}, shapes)


def resized(model, shapes):
    cfg = run_cfg(model, shapes, '')
    for loader in (cfg.train_dataloader, cfg.test_dataloader):
        for transform in loader.dataset.pipeline:
            if transform.type == 'Resize':
                transform.scale = SCALE
    return cfg


def plain_loop(network, cfg, source):
    """Means, counts and mean norms by a loop over boxes, in float64."""
    init_default_scope('mmdet')
    dataset = DATASETS.build(
        dict(cfg.train_dataloader.dataset, pipeline=PIPELINE)
    )
    seen = {}
    head = network.roi_head.bbox_head
    handles = [
        head.fc_cls.register_forward_pre_hook(
            lambda _, args: seen.update(embed=args[0])
        ),
        head.loss_cls.register_forward_pre_hook(
            lambda _, args: seen.update(labels=args[1])
        ),
    ]
    vectors = {label: [] for label in range(NUM + 1)}
    for index in range(len(dataset)):
        data = network.data_preprocessor(pseudo_collate([dataset[index]]))
        with torch.no_grad():
            if source == 'proposals':
                torch.manual_seed(index)
                network(**data, mode='loss')
            else:
                objects = data['data_samples'][0].gt_instances
                seen['labels'] = objects.labels
                feats = network.extract_feat(data['inputs'])
                rois = pad(objects.bboxes, (1, 0))
                network.roi_head._bbox_forward(feats, rois)
        for embed, label in zip(seen['embed'], seen['labels'].tolist()):
            vectors[label].append(embed.double().numpy())
    for handle in handles:
        handle.remove()
    means = [
        np.mean(rows, axis=0) if rows else np.zeros(32)
        for rows in vectors.values()
    ]
    norms = [
        np.mean([np.sqrt((row**2).sum()) for row in rows]) if rows else 0
        for rows in vectors.values()
    ]
    return np.array(means), [len(rows) for rows in vectors.values()], norms


@pytest.mark.parametrize('source', ['gt', 'proposals'])
def test_against_a_plain_loop(distiller, cfg, source):
    bank = compute_bank(distiller, cfg, source)
    means, counts, norms = plain_loop(distiller.teacher.model, cfg, source)
    assert bank.counts.tolist() == counts
    np.testing.assert_allclose(bank.centroids, means, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(bank.norms, norms, rtol=1e-6)
    assert (bank.counts[-1] > 0) == (source == 'proposals')
    assert bank.counts[:-1].min() > 0
    if source == 'gt':
        assert bank.counts.sum() == 39  # annotations of the shapes


def test_provenance(distiller, cfg, teacher, shapes):
    bank = compute_bank(distiller, cfg, 'gt', seed=5)
    annotations = f'{shapes}/annotations/instances_train.json'
    assert bank.classes == (*CLASSES, 'background')
    versions = bank.provenance.pop('versions')
    assert versions['torch'].startswith(torch.__version__.split('+')[0])
    assert bank.provenance == dict(
        teacher_sha256=sha256_of(teacher['ckpt']),
        teacher_config=teacher['cfg'],
        annotation_sha256=sha256_of(annotations),
        source='gt',
        augmented=False,
        seed=5,
    )
    assert bank.centroids.dtype == np.float32
    assert bank.counts.dtype == np.int64


def test_round_trip(distiller, cfg, tmp_path):
    bank = compute_bank(distiller, cfg)
    bank.save(tmp_path / 'bank.npz')
    loaded = CentroidBank.load(tmp_path / 'bank.npz')
    np.testing.assert_array_equal(loaded.centroids, bank.centroids)
    assert loaded.provenance == bank.provenance
    loaded.verify(
        'x',
        classes=bank.classes,
        teacher_sha256=distiller.teacher.sha256,
        annotation_sha256=RunData(cfg).train.sha256,
        **distiller.expected_bank(),
    )


def test_augmented_is_another_bank(distiller, cfg):
    plain = compute_bank(distiller, cfg)
    flipped = compute_bank(distiller, cfg, augmented=True)
    assert np.abs(plain.centroids - flipped.centroids).max() > 1e-3
    assert plain.counts.tolist() == flipped.counts.tolist()
    assert flipped.provenance['augmented'] is True
    again = compute_bank(distiller, cfg, augmented=True)
    np.testing.assert_array_equal(again.centroids, flipped.centroids)
    other = compute_bank(distiller, cfg, augmented=True, seed=1)
    assert np.abs(other.centroids - flipped.centroids).max() > 1e-3


@pytest.mark.parametrize(
    ('source', 'augmented'), [('gt', True), ('proposals', False)]
)
def test_workers_and_batch_size_do_not_matter(
    distiller, cfg, source, augmented
):
    expected = compute_bank(distiller, cfg, source, augmented)
    cfg.train_dataloader.update(num_workers=2, batch_size=7)
    bank = compute_bank(distiller, cfg, source, augmented)
    np.testing.assert_array_equal(bank.centroids, expected.centroids)


def test_leaves_everything_else_alone(distiller, cfg):
    before = copy.deepcopy(cfg.to_dict())
    random_state.seed_all(3)
    expected = torch.rand(2), np.random.rand()
    random_state.seed_all(3)
    compute_bank(distiller, cfg, 'proposals', augmented=True)
    assert torch.equal(torch.rand(2), expected[0])
    assert np.random.rand() == expected[1]
    assert cfg.to_dict() == before


def test_the_teachers_own_preprocessing(shapes, tmp_path):
    own = dict(mean=[103.53, 116.28, 123.675], std=[1.0] * 3, bgr_to_rgb=False)
    spec = dict(tiny_spec(50), data_preprocessor=own)
    model = build(pair_cfg(save_teacher(spec, tmp_path / 't.pth')))
    cfg = resized({}, shapes)
    bank = compute_bank(model.distill['roi'], cfg)
    means, *_ = plain_loop(model.teacher.model, cfg, 'gt')
    np.testing.assert_allclose(bank.centroids, means, rtol=1e-6, atol=1e-6)


def test_wrappers(distiller, cfg, shapes, tmp_path):
    """A repeated data set passes once; several files are all hashed."""
    expected = compute_bank(distiller, cfg)
    first = cfg.train_dataloader.dataset
    cfg.train_dataloader.dataset = dict(
        type='RepeatDataset', times=3, dataset=first
    )
    bank = compute_bank(distiller, cfg)
    assert bank.counts.tolist() == expected.counts.tolist()
    assert (
        RunData(cfg).train.sha256 == expected.provenance['annotation_sha256']
    )

    def drop(table):
        del table['annotations'][10:]

    folder = other_annotations(shapes, tmp_path / 'other', drop)
    second = dict(copy.deepcopy(first), data_root=str(folder))
    cfg.train_dataloader.dataset = dict(
        type='ConcatDataset', datasets=[first, second]
    )
    bank = compute_bank(distiller, cfg)
    assert bank.counts.sum() == 39 + 10
    assert len(RunData(cfg).train.sources) == 2
    before = RunData(cfg).train.sha256
    assert bank.provenance['annotation_sha256'] == before
    with open(RunData(cfg).train.sources[1], 'a') as file:
        file.write('\n')
    assert RunData(cfg).train.sha256 != before


def test_crowds_do_not_count(distiller, shapes, tmp_path):
    def crowd(table):
        for annotation in table['annotations'][:4]:
            annotation['iscrowd'] = 1

    folder = other_annotations(shapes, tmp_path / 'other', crowd)
    bank = compute_bank(distiller, run_cfg({}, folder, ''))
    assert bank.counts.sum() == 39 - 4


def test_a_class_that_is_never_seen(distiller, shapes, tmp_path):
    def drop(table):
        kept = [a for a in table['annotations'] if a['category_id'] != 3]
        table['annotations'] = kept

    folder = other_annotations(shapes, tmp_path / 'other', drop)
    bank = compute_bank(distiller, run_cfg({}, folder, ''))
    assert bank.counts[2] == 0 and not bank.centroids[2].any()
    assert (bank.counts[:-1] > 0).sum() == NUM - 1


def test_no_object_at_all(distiller, shapes, tmp_path):
    folder = other_annotations(
        shapes, tmp_path / 'other', lambda table: table.update(annotations=[])
    )
    with pytest.raises(UserError, match='No labelled samples .*train.json'):
        compute_bank(distiller, run_cfg({}, folder, ''))


def test_a_teacher_that_is_not_finite(shapes, teacher):
    distiller = build(pair_cfg(teacher)).distill['roi']
    head = distiller.teacher.model.roi_head.bbox_head
    head.shared_fcs[1].bias.data[3] = float('nan')
    with pytest.raises(UserError, match='pth.* not finite to its class means'):
        compute_bank(distiller, run_cfg({}, shapes, ''))


def test_unknown_source(distiller, cfg):
    with pytest.raises(UserError, match=r"source='boxes'.*\('gt', 'prop"):
        compute_bank(distiller, cfg, 'boxes')


def test_norm_table():
    means = np.array([[3, 4], [0, 0], [6, 8]], np.float32)
    bank = CentroidBank(means, np.array([2, 0, 1]), ('a', 'b', 'c'))
    # norms 5 and 7 (mean 6, spread 1), and 10 alone
    norms = torch.tensor([[12.0, 74.0], [0, 0], [10, 100]])
    _, _, first, second, third = norm_table(bank, norms).splitlines()
    assert first.split() == ['a', '2', '6.000', '1.000', '5.000']
    assert second.split() == 'b 0 no samples: no centroid'.split()
    assert third.split() == ['c', '1', '10.000', '0.000', '10.000']


@pytest.mark.parametrize(
    'wrapper',
    [
        dict(type='mmpretrain.KFoldDataset', num_splits=3, fold=1),
        dict(type='mmpretrain.KFoldDataset', num_splits=3, test_mode=True),
        dict(type='ClassBalancedDataset', oversample_thr=0.9),
    ],
)
def test_what_a_wrapper_gives(distiller, cfg, wrapper):
    """Its images, each once; another selection is another training set."""
    leaf = cfg.train_dataloader.dataset
    whole = RunData(cfg).train.sha256
    cfg.train_dataloader.dataset = dict(wrapper, dataset=leaf)
    bank = compute_bank(distiller, cfg)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    images = {
        dataset.get_data_info(index)['img_id']: dataset.get_data_info(index)
        for index in range(len(dataset))
    }
    boxes = sum(len(info['instances']) for info in images.values())
    assert bank.counts.sum() == boxes
    same = bank.provenance['annotation_sha256'] == whole
    assert same == (len(images) == 12)


def test_images_that_are_mixed_in_training(distiller, cfg):
    """The class means are those of the images as they are."""
    expected = compute_bank(distiller, cfg)
    leaf = cfg.train_dataloader.dataset
    mosaic = dict(type='Mosaic', img_scale=SCALE)
    cfg.train_dataloader.dataset = dict(
        type='MultiImageMixDataset',
        dataset=dict(leaf, pipeline=leaf.pipeline[:2]),
        pipeline=[mosaic, *leaf.pipeline[2:]],
    )
    bank = compute_bank(distiller, cfg)
    np.testing.assert_array_equal(bank.centroids, expected.centroids)
    mixed = compute_bank(distiller, cfg, augmented=True)
    assert mixed.counts.sum() > bank.counts.sum()
    again = compute_bank(distiller, cfg, augmented=True)
    np.testing.assert_array_equal(again.centroids, mixed.centroids)


def test_no_test_data(distiller, cfg):
    """The pipeline of the validation data does as well."""
    expected = compute_bank(distiller, cfg)
    cfg.val_dataloader = cfg.pop('test_dataloader')
    bank = compute_bank(distiller, cfg)
    np.testing.assert_array_equal(bank.centroids, expected.centroids)
