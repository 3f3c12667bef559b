"""Detectors in stages: a chain, generations, kills, and the rule to stop."""

import pytest
import torch
from mmengine.hooks import Hook
from tiny import pair_cfg, run_cfg, tiny_spec

from kd_det.api import launch, stages
from kd_det.errors import UserError
from kd_det.models.spec import read_spec

HOOKS = [dict(type='kd_det.RandomStateHook')]


class Kill(Hook):
    """Ends a run ahead of an epoch, as a kill would."""

    priority = 'LOWEST'

    def before_train_epoch(self, runner):
        if runner.epoch == 1:
            raise KeyboardInterrupt


def config(model, shapes, folder, name, epochs=1):
    cfg = run_cfg(model, shapes, folder, custom_hooks=HOOKS)
    cfg.train_dataloader.dataset.indices = 4  # two steps
    cfg.train_cfg.max_epochs = cfg.train_cfg.val_interval = epochs
    path = folder / f'{name}.py'
    cfg.dump(path)
    return launch.prepare(str(path), str(folder / 'out'))


@pytest.fixture
def chain(shapes, teacher, tmp_path):
    """A network alone, and a pair of its student and a smaller one."""
    alone = read_spec(tiny_spec(50), 'student')[0]
    pair = pair_cfg(dict(teacher, dtype=None), student=tiny_spec())
    return [
        config(alone, shapes, tmp_path, 'large'),
        config(pair, shapes, tmp_path, 'small', 2),
    ]


def weights(path):
    return torch.load(path, weights_only=False)['state_dict']


def test_a_chain_that_is_killed(chain, shapes, tmp_path, monkeypatch, capsys):
    """Within a stage and between two; each teaches the next."""
    train, calls = launch.train, []

    def killed(cfg, **options):
        calls.append(cfg.work_dir)
        if len(calls) == 2:
            cfg.custom_hooks.append(dict(type=Kill))
        if len(calls) == 4:
            raise KeyboardInterrupt  # ahead of its first step
        return train(cfg, **options)

    monkeypatch.setattr(launch, 'train', killed)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            stages.train_stages(chain, 2, seed=0)
    records = stages.train_stages(chain, 2, seed=0)
    assert [r['reused'] for r in records] == [True, True, False]
    assert [r['resumed'] for r in records] == [False, True, True]
    text = capsys.readouterr().out
    assert 'stage 1: large, alone' in text
    assert 'stage 3: small, taught by stage 2' in text
    table = text[text.rindex('stage  config') :].splitlines()
    assert [row.split()[:2] for row in table[1:]] == [
        ['1', 'large'],
        ['2', 'small'],
        ['3', 'small'],
    ]
    for number, record in enumerate(records, start=1):
        assert f'stage_{number}/' in record['path']
        assert {*record['validation']} == {*record['scores']}
    # the second stage is the run that was not killed
    cfg = chain[1]
    spec = read_spec(tiny_spec(50), 'teacher')[0]
    cfg.model.teacher = dict(spec, ckpt=records[0]['path'], _scope_='mmdet')
    cfg.work_dir = str(tmp_path / 'whole')
    train(cfg, seed=0)
    wanted = weights(tmp_path / 'whole/epoch_2.pth')
    got, last = (weights(r['path']) for r in records[1:])
    for key, value in wanted.items():
        assert torch.equal(got[key], value), key
    assert any((last[key] != got[key]).any() for key in got)


class Made:
    """Stages whose validation scores are given."""

    def __init__(self, folder, scores):
        self.folder, self.scores, self.teachers = folder, [*scores], []

    def __call__(self, cfg, seed):
        path = self.folder / f'{len(self.teachers)}.pth'
        path.write_bytes(b'weights %d' % len(self.teachers))
        self.teachers.append(cfg.model.get('teacher', {}).get('ckpt'))
        score = self.scores[len(self.teachers) - 1]
        validation = dict(mAP=score, mAP_50=1 - score)
        return dict(path=str(path), scores=validation, validation=validation)


@pytest.mark.parametrize(
    'margin, metric, scores, count',
    [
        (None, None, [0.3, 0.2, 0.1, 0.1, 0.1], 6),
        # equal is good enough, worse than the best so far is not
        (0.0, None, [0.3, 0.4, 0.4, 0.39, 0.5], 5),
        (0.05, None, [0.3, 0.34, 0.5, 0.6, 0.7], 3),
        (0.0, 'mAP_50', [0.3, 0.4, 0.5, 0.6, 0.7], 3),
    ],
)
def test_stops(
    chain, tmp_path, monkeypatch, capsys, margin, metric, scores, count
):
    """The stage ahead of the generations, here at 0.9, does not count."""
    made = Made(tmp_path, [0.9, *scores])
    monkeypatch.setattr(stages, '_run', made)
    records = stages.train_stages(chain, 5, 0, margin, metric)
    assert len(records) == len(made.teachers) == count
    paths = [r['path'] for r in records]
    assert made.teachers == [None, *paths[:-1]]
    text = capsys.readouterr().out
    assert ('Stopped: stage' in text) == (margin is not None)
    # again: everything is there, and it stops at the same stage
    again = stages.train_stages(chain, 5, 0, margin, metric)
    assert [r['reused'] for r in again] == [True] * count


def test_switches_of_the_teacher_stay(chain, tmp_path, monkeypatch):
    chain[1].model.teacher.update(dtype='bfloat16', fuse_conv_bn=True)
    seen = []
    made = Made(tmp_path, [0.1] * 3)
    monkeypatch.setattr(
        stages, '_run', lambda cfg, seed: seen.append(cfg) or made(cfg, seed)
    )
    stages.train_stages(chain, 2)
    for cfg in seen[1:]:
        teacher = cfg.model.teacher
        assert teacher.dtype == 'bfloat16' and teacher.fuse_conv_bn is True
    assert seen[1].model.teacher.type == 'FasterRCNN'
    assert 'cfg' in seen[2].model.teacher  # the student, as it is written


def test_what_is_refused(chain, shapes, tmp_path, monkeypatch):
    large, small = chain
    cases = (
        (([large], 1), 'large has no teacher; use the config of a pair'),
        (([small, large], 1), 'large has no teacher'),
        ((chain, 0), '--generations 0'),
        ((chain, 2, 0, -0.1), '--margin=-0.1'),
    )
    for arguments, message in cases:
        with pytest.raises(UserError, match=message):
            stages.train_stages(*arguments)
    monkeypatch.setattr(stages, '_run', Made(tmp_path, [0.1] * 3))
    with pytest.raises(UserError, match='--metric mAP50: .*did you mean'):
        stages.train_stages(chain, 2, 0, 0.1, 'mAP50')
    small.val_cfg = None
    with pytest.raises(UserError, match='small has no val_cfg; add a valid'):
        stages.train_stages(chain, 2, 0, 0.1)
    teacher = small.model.teacher
    small.model.teacher = dict(one=teacher, two=teacher)
    with pytest.raises(UserError, match='small has the teachers one, two'):
        stages.train_stages(chain, 2)
