"""Shipped configs of embeddings from training to pictures, on few images."""

import json
import re

import numpy as np
import omniglot_toy as toy
import pytest
import torch
from cifar_toy import write_set
from mmengine.hooks import Hook
from mmpretrain.datasets.categories import CIFAR10_CATEGORIES
from PIL import Image
from tiny import spare_time

from kd_det.analysis.embedding_report import analyze, embed, picture
from kd_det.api import launch
from kd_det.api.export import export_student
from kd_det.api.stages import train_stages
from kd_det.datasets.cifar_files import CIFAR10_LAYOUT
from kd_det.errors import UserError
from kd_det.evaluation.plain_libraries import stock_network


class Stop(Hook):
    """Ends a run behind its first epoch."""

    priority = 'LOWEST'

    def before_train_epoch(self, runner):
        if runner.epoch == 1:
            raise KeyboardInterrupt


@pytest.fixture(scope='module', autouse=True)
def fast():
    spare_time()


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return toy.write_characters(tmp_path_factory.mktemp('omniglot'))


@pytest.fixture(scope='module')
def teacher(tmp_path_factory):
    return toy.write_teacher(
        tmp_path_factory.mktemp('weights') / 'teacher.pth'
    )


def weights(path):
    return torch.load(path, weights_only=False)['state_dict']


def test_train_a_teacher_then_a_student(root, tmp_path):
    cfg = toy.prepare(toy.TRIPLET, tmp_path / 'teacher', root)
    launch.train(cfg, seed=0)
    trained = str(tmp_path / 'teacher/epoch_2.pth')
    cfg = toy.prepare(toy.RKD, tmp_path / 'student', root, trained)
    launch.train(cfg, seed=0)
    lines = [
        json.loads(line)
        for path in (tmp_path / 'student').glob('*/vis_data/scalars.json')
        for line in path.read_text().splitlines()
    ]
    assert 'embed.loss_rkd_a' in lines[0]
    assert 'retrieval/recall@8' in lines[-1]
    state = weights(tmp_path / 'student/epoch_2.pth')
    assert state['head.fc.weight'].shape == (16, 16)
    assert not any('teacher' in key for key in state)


@pytest.mark.parametrize('config', [toy.TRIPLET, toy.EPISODES])
def test_resumed_run_is_the_run(config, root, tmp_path):
    changes = {}
    if config is toy.EPISODES:
        changes = dict(
            train_dataloader__batch_size=8,
            train_dataloader__batch_sampler__ways=4,
            train_dataloader__batch_sampler__queries=1,
            val_evaluator__ways=3,
            val_evaluator__queries=2,
        )
    launch.train(toy.prepare(config, tmp_path / 'a', root, **changes), seed=0)
    # the same, killed within the second epoch
    cfg = toy.prepare(config, tmp_path / 'b', root, **changes)
    cfg.default_hooks.checkpoint.update(
        dict(by_epoch=False, interval=3, max_keep_ckpts=-1)
    )
    launch.train(cfg, seed=0)
    cfg = toy.prepare(config, tmp_path / 'c', root, **changes)
    launch.train(cfg, seed=0, resume=str(tmp_path / 'b/iter_3.pth'))
    wanted = weights(tmp_path / 'a/epoch_2.pth')
    for key, value in weights(tmp_path / 'c/epoch_2.pth').items():
        assert torch.equal(value, wanted[key]), key


def test_another_sets_config_tests_the_same_network(root, teacher, tmp_path):
    """Across sets: the checkpoint of one, the data of the other."""
    cfg = toy.prepare(toy.TRIPLET, tmp_path, root)
    there = launch.tester(cfg, teacher).test()
    other = toy.prepare(
        toy.SELF,  # its student is the same network, its data other ones
        tmp_path,
        root,
        test_dataloader__dataset__without=['Korean'],
    )
    here = launch.tester(other, teacher).test()
    assert there.keys() == here.keys() and there != here


def test_a_network_is_tested_on_any_classes(root, tmp_path):
    """Across sets: characters learnt, small photos searched."""
    path = toy.write_teacher(tmp_path / 'teacher.pth', classes=('a', 'b'))
    write_set(tmp_path, CIFAR10_LAYOUT, CIFAR10_CATEGORIES, 9)
    config = tmp_path / 'photos.py'
    config.write_text(f"""_base_ = {str(toy.TRIPLET)!r}
data_root = {str(tmp_path)!r}
test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='kd_det.CIFAR10',
        split='test',
        pipeline=[
            dict(type='Resize', scale=28),
            dict(type='RandomGrayscale', prob=1.0, keep_channels=False),
            dict(type='PackInputs'),
        ],
    )
)
""")
    cfg = launch.prepare(str(config), str(tmp_path / 'run'))
    assert {*launch.tester(cfg, path).test()} >= {'retrieval/recall@1'}


def test_generations(root, teacher, tmp_path, capsys):
    def run(count, **changes):
        cfg = toy.prepare(toy.SELF, tmp_path, root, teacher, **changes)
        records = train_stages([cfg], count, seed=0)
        return records, capsys.readouterr().out

    first, out = run(1)
    assert [r['reused'] for r in first] == [False]
    assert ', taught by its teacher' in out
    both, out = run(2)
    assert [r['reused'] for r in both] == [True, False]
    table = out[out.index('stage  config') :].splitlines()
    assert len(table) == 3
    assert {*both[0]['scores']} >= {'retrieval/recall@1'}
    one, two = (weights(r['path']) for r in both)
    assert one.keys() == two.keys() == weights(teacher).keys()
    assert any((one[k] != two[k]).any() for k in one)
    # the second was taught by the first
    (dump,) = (tmp_path / 'stage_2').glob('*.py')
    assert f"ckpt='{both[0]['path']}'" in dump.read_text().replace('"', "'")
    again, out = run(2)
    assert [r['reused'] for r in again] == [True, True]
    changed, out = run(1, optim_wrapper__optimizer__lr=0.1)
    assert [r['reused'] for r in changed] == [False]
    assert 'have other settings: run again' in out


def test_interrupted_generation_goes_on(root, teacher, tmp_path, monkeypatch):
    cfg = toy.prepare(toy.SELF, tmp_path / 'whole', root, teacher)
    (whole,) = train_stages([cfg], 1, seed=0)
    train, calls = launch.train, []

    def killed(cfg, **options):
        """Ends behind the first epoch, as a kill would."""
        calls.append(cfg.train_cfg.max_epochs)
        if len(calls) == 1:
            cfg.custom_hooks.append(dict(type=Stop))
        train(cfg, **options)

    monkeypatch.setattr(launch, 'train', killed)
    cfg = toy.prepare(toy.SELF, tmp_path / 'part', root, teacher)
    with pytest.raises(KeyboardInterrupt):
        train_stages([cfg], 1, seed=0)
    (record,) = train_stages([cfg], 1, seed=0)
    assert record['resumed']
    wanted = weights(whole['path'])
    for key, value in weights(record['path']).items():
        assert torch.equal(value, wanted[key]), key


def test_what_cannot_be_distilled(root, teacher, tmp_path):
    cfg = toy.prepare(toy.SELF, tmp_path, root, teacher)
    with pytest.raises(UserError, match='--generations 0'):
        train_stages([cfg], 0)
    cfg.model.teacher.ckpt = 'nowhere.pth'
    with pytest.raises(FileNotFoundError, match="'nowhere.pth' for stage"):
        train_stages([cfg], 1)
    with pytest.raises(UserError, match='has no teacher'):
        train_stages([toy.prepare(toy.TRIPLET, tmp_path, root)], 1)


def test_pictures(root, teacher, tmp_path):
    cfg = toy.prepare(toy.TRIPLET, tmp_path, root)
    numbers = dict(queries=4, neighbours=5, classes=3)
    paths = analyze(cfg, teacher, str(tmp_path / 'out'), **numbers)
    assert [path.name for path in paths] == [
        'retrieval.png',
        'projection.png',
    ]
    pixels = np.asarray(Image.open(paths[0]).convert('RGB')).reshape(-1, 3)
    colors = {tuple(color) for color in pixels.tolist()}
    assert (10, 143, 60) in colors  # a frame of the right class
    for path in paths:
        assert Image.open(path).size > (300, 300)


def test_what_is_embedded(root, teacher, tmp_path):
    runner = launch.tester(toy.prepare(toy.TRIPLET, tmp_path, root), teacher)
    embeddings, labels = embed(runner)
    assert embeddings.shape == (18, 64)
    assert labels.tolist() == sorted([0, 1, 2] * 6)
    dataset = runner.test_dataloader.dataset
    image = picture(dataset, 0)
    assert image.shape == (28, 28, 3) and image.dtype == np.uint8
    ink = dataset.get_data_info(0)['img']
    np.testing.assert_array_equal(image, 255 - np.repeat(ink, 3, 2))


@pytest.mark.parametrize(
    ('numbers', 'message'),
    [
        (dict(queries=0), '--queries 0; 1 or more'),
        (dict(neighbours=18), 'has 18 images; use more images'),
    ],
)
def test_wrong_numbers(root, teacher, tmp_path, numbers, message):
    cfg = toy.prepare(toy.TRIPLET, tmp_path, root)
    with pytest.raises(UserError, match=re.escape(message)):
        analyze(cfg, teacher, str(tmp_path / 'out'), **numbers)


def test_export(root, teacher, tmp_path, capsys):
    cfg = toy.prepare(toy.SELF, tmp_path, root, teacher)
    export_student(cfg, teacher, tmp_path / 'out', num_images=2)
    said = 'after `import kd_det.registry`, which has EmbeddingModel'
    assert said in capsys.readouterr().out
    config, file = (tmp_path / f'out/student.{s}' for s in ('py', 'pth'))
    stock = stock_network(config, file, 'mmpretrain')
    own = torch.load(teacher)['state_dict']
    assert stock.state_dict().keys() == own.keys()
