"""Images without labels: who can train on them, and what others say."""

import json

import pytest
from image_folders import write_tree
from mmengine.config import Config
from tiny import CLASSES, other_annotations, run_cfg, tiny_spec

from kd_det.api import launch
from kd_det.errors import UserError
from kd_det.models.spec import read_spec
from kd_det.testing import save_teacher, tiny_classifier

EMBEDDER = dict(
    _scope_='kd_det',
    type='EmbeddingModel',
    backbone=dict(
        type='mmpretrain.ResNet_CIFAR',
        depth=18,
        base_channels=8,
        stem_channels=8,
    ),
    in_channels=64,
    embed_dims=8,
)
RKD = dict(loss_rkd=dict(type='RKDDistanceLoss'))


@pytest.fixture
def train(tmp_path):
    """Train on images without labels."""
    write_tree(tmp_path / 'data/train', 'abc')

    def run(model, **dataset):
        leaf = dict(
            type='CustomDataset',
            data_root=str(tmp_path / 'data'),
            data_prefix='train',
            with_label=False,
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='Resize', scale=16),
                dict(type='PackInputs'),
            ],
        )
        cfg = Config(
            dict(
                default_scope='mmpretrain',
                model=model,
                work_dir=str(tmp_path / 'run'),
                train_dataloader=dict(
                    batch_size=6,
                    num_workers=0,
                    sampler=dict(type='DefaultSampler', shuffle=True),
                    dataset=leaf | dataset,
                ),
                train_cfg=dict(by_epoch=True, max_epochs=1),
                optim_wrapper=dict(
                    type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01)
                ),
                log_level='WARNING',
            )
        )
        cfg.dump(tmp_path / 'run.py')
        runner = launch.train(launch.prepare(str(tmp_path / 'run.py')))
        return runner.message_hub.get_scalar('train/loss').current()

    return run


def pair(tmp_path, student, losses, kind='EmbeddingDistiller'):
    return dict(
        _scope_='kd_det',
        type='DistillModel',
        teacher=save_teacher(dict(EMBEDDER), tmp_path / 'teacher.pth'),
        student=student,
        distillers=dict(embed=dict(type=kind, losses=losses)),
    )


@pytest.mark.parametrize(
    'kind', ['RKDDistanceLoss', 'RKDAngleLoss', 'FeatureMatchingLoss']
)
def test_an_embedding_learns_from_its_teacher_alone(train, tmp_path, kind):
    losses = dict(loss_own=dict(type=kind))
    assert train(pair(tmp_path, dict(EMBEDDER), losses)) >= 0


def test_a_loss_of_the_student_reads_labels(train, tmp_path):
    student = dict(EMBEDDER, loss=dict(type='TripletLoss'))
    with pytest.raises(UserError) as caught:
        train(pair(tmp_path, student, RKD))
    text = str(caught.value)
    assert 'CustomDataset of train_dataloader has no labels' in text
    assert 'the loss of the student (EmbeddingModel) needs them' in text
    assert 'RKDAngleLoss, RKDDistanceLoss' in text and 'NDLoss' not in text
    assert not (tmp_path / 'run').exists()


def test_a_classifier_reads_labels(train):
    model = read_spec(tiny_classifier(18, 3), 'student')[0]
    with pytest.raises(UserError, match=r'student \(ImageClassifier\) needs'):
        train(model)


def test_with_labels_all_train(train, tmp_path):
    student = dict(EMBEDDER, loss=dict(type='TripletLoss'))
    metainfo = dict(classes=('a', 'b', 'c'))
    train(pair(tmp_path, student, RKD), with_label=True, metainfo=metainfo)


def test_boxes_that_a_teacher_drew(shapes, tmp_path):
    """The recipe of the FAQ, from images to a training."""

    def bare(table):
        del table['annotations']

    folder = other_annotations(shapes, tmp_path / 'data', bare)
    model = read_spec(tiny_spec(), 'student')[0]
    cfg = run_cfg(model, folder, tmp_path / 'run')
    cfg.dump(tmp_path / 'run.py')
    with pytest.raises(UserError, match='a teacher can predict them'):
        train = launch.prepare(str(tmp_path / 'run.py'))
        launch.train(train)
    options = {
        'test_dataloader.dataset.ann_file': 'annotations/instances_train.json',
        'test_dataloader.dataset.data_prefix.img': 'train/',
        'test_evaluator.ann_file': (
            f'{folder}/annotations/instances_train.json'
        ),
        'test_evaluator.format_only': True,
    }
    teacher = save_teacher(tiny_spec(), tmp_path / 'teacher.pth', CLASSES)
    cfg = launch.prepare(str(tmp_path / 'run.py'), options=options)
    launch.tester(cfg, teacher['ckpt'], out=str(tmp_path / 'drawn')).test()
    boxes = json.loads((tmp_path / 'drawn.bbox.json').read_text())
    path = folder / 'annotations/instances_train.json'
    table = json.loads(path.read_text())
    table['annotations'] = [
        dict(
            id=number,
            image_id=box['image_id'],
            category_id=box['category_id'],
            bbox=box['bbox'],
            area=box['bbox'][2] * box['bbox'][3],
            iscrowd=0,
        )
        for number, box in enumerate(boxes, start=1)
        if box['score'] > 0.05
    ]
    path.write_text(json.dumps(table))
    launch.train(train)
    assert (tmp_path / 'run/epoch_1.pth').is_file()
