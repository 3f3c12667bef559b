"""What training, validation and testing each need."""

import logging

import pytest
from tiny import CLASSES, pair_cfg, run_cfg, tiny_spec

from kd_det.api import launch
from kd_det.api.export import export_student
from kd_det.datasets.run_data import RunData
from kd_det.errors import UserError
from kd_det.models.spec import read_spec
from kd_det.precompute.centroids import write_centroids
from kd_det.preflight.loops import PARTS, check_loops
from kd_det.testing import save_teacher


@pytest.fixture
def cfg(shapes):
    return run_cfg({}, shapes, '')


def refused(cfg, needed):
    with pytest.raises(UserError) as caught:
        check_loops(cfg, needed)
    assert '\n' not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize('needed', ['train', 'test'])
def test_whole_and_absent_loops(cfg, needed):
    check_loops(cfg, needed)
    for split in {'train', 'val', 'test'} - {needed}:
        for key in PARTS[split]:
            cfg[key] = None
    check_loops(cfg, needed)
    for split in {'train', 'val', 'test'} - {needed}:
        for key in PARTS[split]:
            cfg.pop(key)
    check_loops(cfg, needed)


@pytest.mark.parametrize('key', PARTS['val'] + PARTS['test'])
def test_a_part_that_is_missing(cfg, key):
    cfg[key] = None
    text = refused(cfg, 'train')
    split = key.partition('_')[0]
    assert f'but no {key}; add it, or set all three to None' in text
    assert all(other in text for other in PARTS[split])


@pytest.mark.parametrize('key', PARTS['train'])
def test_training_without_a_part(cfg, key):
    cfg.pop(key)
    assert f'cannot train, since it has no {key}' in refused(cfg, 'train')


def test_testing_without_a_test_set(cfg):
    for key in PARTS['test']:
        cfg[key] = None
    text = refused(cfg, 'test')
    assert 'cannot test' in text
    # what it advises is enough
    assert 'test_dataloader = val_dataloader' in text
    assert 'test_evaluator = val_evaluator' in text
    cfg.test_dataloader = cfg.val_dataloader
    cfg.test_evaluator = cfg.val_evaluator
    assert "write test_cfg = dict(type='TestLoop')." in refused(cfg, 'test')
    cfg.test_cfg = dict(type='TestLoop')
    check_loops(cfg, 'test')


@pytest.mark.parametrize(
    'change, waiting',
    [
        (
            dict(
                default_hooks=dict(
                    checkpoint=dict(
                        type='kd_det.SafeCheckpointHook', save_best='auto'
                    )
                )
            ),
            "SafeCheckpointHook with save_best='auto'",
        ),
        (
            dict(
                custom_hooks=[
                    dict(type='EarlyStoppingHook', monitor='coco/bbox_mAP')
                ]
            ),
            'EarlyStoppingHook',
        ),
        (
            dict(
                param_scheduler=[dict(type='ReduceOnPlateauLR', monitor='a')]
            ),
            'ReduceOnPlateauLR',
        ),
        (
            dict(param_scheduler=dict(type='ReduceOnPlateauLR', monitor='a')),
            'ReduceOnPlateauLR',
        ),
    ],
)
def test_what_waits_for_a_validation(cfg, change, waiting):
    cfg.update(change)
    check_loops(cfg, 'train')
    begin = cfg.train_cfg.max_epochs + 1
    cfg.train_cfg.val_begin = begin  # MMDetection's way not to validate
    text = refused(cfg, 'train')
    assert waiting in text and 'or take it out' in text
    for key in PARTS['val']:
        cfg[key] = None
    assert waiting in refused(cfg, 'train')
    check_loops(cfg, 'test')


def test_hooks_that_a_config_takes_away(cfg):
    for key in PARTS['val']:
        cfg[key] = None
    cfg.default_hooks = dict(visualization=None, timer=dict(type='IterTimer'))
    cfg.custom_hooks = None
    check_loops(cfg, 'train')


def test_images_without_augmentation(cfg):
    assert RunData(cfg).held_out('X').name == 'test'
    cfg.test_dataloader = None
    assert RunData(cfg).held_out('X').name == 'val'
    cfg.pop('val_dataloader')
    with pytest.raises(UserError, match='X needs a test_dataloader or val_da'):
        RunData(cfg).held_out('X')


def without(cfg, *splits):
    for split in splits:
        for key in PARTS[split]:
            cfg[key] = None
    return cfg


def test_class_means_without_a_test_set(teacher, shapes, tmp_path):
    """Those of validation are as good: only their pipeline is read."""
    banks = []
    for name, splits in (('a', ()), ('b', ('test',))):
        bank = tmp_path / f'{name}.npz'
        losses = dict(loss_nd=dict(type='NDLoss'))
        model = pair_cfg(teacher, losses, bank)
        cfg = without(run_cfg(model, shapes, tmp_path / name), *splits)
        cfg.dump(tmp_path / f'{name}.py')
        write_centroids(launch.prepare(str(tmp_path / f'{name}.py')))
        banks.append(bank.read_bytes())
    assert len(banks[0]) == len(banks[1])


def test_a_student_is_exported_without_a_test_set(teacher, shapes, tmp_path):
    cfg = without(run_cfg(pair_cfg(teacher), shapes, tmp_path), 'test')
    cfg.dump(tmp_path / 'run.py')
    spec = save_teacher(tiny_spec(), tmp_path / 'student.pth', CLASSES)
    cfg = launch.prepare(str(tmp_path / 'run.py'))
    config, weights = export_student(cfg, spec['ckpt'], str(tmp_path / 'out'))
    assert config.is_file() and weights.is_file()
    with pytest.raises(UserError, match='kd_det export needs a test_data'):
        export_student(without(cfg, 'val'), spec['ckpt'], str(tmp_path / 'x'))


def test_a_training_without_validation(teacher, shapes, tmp_path, caplog):
    """The teacher is then not evaluated, and the log says so."""
    cfg = without(
        run_cfg(pair_cfg(teacher), shapes, tmp_path / 'w'), 'val', 'test'
    )
    cfg.custom_hooks = [dict(type='kd_det.TeacherCheckHook')]
    cfg.dump(tmp_path / 'run.py')
    with caplog.at_level(logging.WARNING):
        launch.train(launch.prepare(str(tmp_path / 'run.py')))
    assert (tmp_path / 'w/epoch_1.pth').is_file()
    said = '\n'.join(path.read_text() for path in tmp_path.rglob('*.log'))
    assert 'is not evaluated, since the config has no val_dataloader' in said


def test_the_tools_say_it(shapes, tmp_path):
    model = read_spec(tiny_spec(), 'student')[0]
    cfg = run_cfg(model, shapes, tmp_path / 'w')
    cfg.dump(tmp_path / 'run.py')
    spec = save_teacher(tiny_spec(), tmp_path / 'student.pth', CLASSES)
    cfg = without(launch.prepare(str(tmp_path / 'run.py')), 'test')
    with pytest.raises(UserError, match='cannot test'):
        launch.tester(cfg, spec['ckpt'])
    cfg.val_cfg = None
    with pytest.raises(UserError, match='but no val_cfg'):
        launch.train(cfg)
    assert not (tmp_path / 'w').exists()


@pytest.mark.parametrize(
    ('key', 'value', 'said'),
    [
        ('train_cfg.max_epochs', 0, 'max_epochs=0; set it to 1'),
        ('train_cfg.val_interval', 0, 'val_interval=0; set it to 1'),
        ('optim_wrapper.optimizer.lr', 0, 'lr=0 changes no weight'),
        ('optim_wrapper.clip_grad', dict(max_norm=0), 'max_norm=0 leaves no'),
        (
            'val_dataloader',
            dict(drop_last=True, batch_size=2),
            'not be scored',
        ),
        (
            'test_dataloader.sampler',
            dict(type='InfiniteSampler'),
            'InfiniteSampler, which never ends',
        ),
    ],
)
def test_values_that_train_or_score_too_little(cfg, key, value, said):
    cfg.merge_from_dict({key: value})
    assert said in refused(cfg, 'train')
