"""`kd_det benchmark` on tiny pairs: what it measures, not how long."""

import json

import pytest
import torch
from mmengine.hooks import Hook
from tiny import ND, pair_cfg, run_cfg

from kd_det.api import launch
from kd_det.benchmark import benchmark as module
from kd_det.benchmark import steps
from kd_det.benchmark.benchmark import benchmark
from kd_det.benchmark.parts import REST
from kd_det.benchmark.rows import DATA, FLOOR, STEP, STUDENT, TEACHER, text_of
from kd_det.cli import main
from kd_det.errors import UserError

ROWS = [STUDENT, TEACHER, FLOOR, STEP, DATA]
OWN = {REST, 'preprocessing', 'student forward', 'backward', 'optimiser'}
PKD = dict(type='FeatureDistiller', losses=dict(loss_pkd=dict(type='PKDLoss')))


@pytest.fixture
def config(shapes, teacher, tmp_path):
    """Return a run of a pair."""

    def make(distillers=None, **kwargs):
        model = pair_cfg(teacher, **kwargs)
        if distillers:
            model.distillers = distillers
        return launch.prepare(run_cfg(model, shapes, tmp_path / 'run'))

    return make


def test_rows_and_parts(config, bank):
    connector = dict(student_embed=dict(type='LinearAdaptor'))
    cfg = config(losses=dict(ND, loss_kd=dict(type='KDLoss')), centroids=bank)
    cfg.model.distillers.roi.connectors = connector
    result = benchmark(cfg, rounds=2)
    assert [*result.times] == ROWS
    assert {*result.memory} == {STUDENT, STEP}
    assert {*result.parts[STUDENT]} == OWN
    assert {*result.parts[STEP]} == OWN | {
        TEACHER,
        'roi: fields',
        'roi: connector of student_embed',
        'roi: loss_nd',
        'roi: loss_kd',
    }
    assert result.about['images'] == [[2, 3, 64, 64]] * 3
    assert result.about['rounds'] == 2 and result.about['threads'] == 1
    for row in (STEP, STUDENT):  # parts add up to their row
        sums = map(sum, zip(*(t.seconds for t in result.parts[row].values())))
        assert [*sums] == pytest.approx(result.times[row].seconds)
        assert sum(result.shares(row).values()) == pytest.approx(1)
    assert result.teacher == {}


def test_no_teacher_in_the_step(config, bank):
    nd = dict(loss_nd=dict(type='NDLoss', norm='class'))
    cfg = config(losses=nd, centroids=bank)
    result = benchmark(cfg, rounds=1)
    assert [*result.times] == ROWS and TEACHER not in result.parts[STEP]
    with pytest.raises(UserError, match='leave --mmrazor away'):
        benchmark(cfg, rounds=1, mmrazor=True)


def test_the_config_is_not_changed(config):
    cfg = config()
    before = cfg.pretty_text
    benchmark(cfg, rounds=1)
    assert cfg.pretty_text.replace("'seed': 0", '') == before


def test_the_wrapped_step_trains_the_same_losses(config, monkeypatch):
    """And what draws random numbers in between stops the benchmark."""
    seen = []
    values = steps._values
    monkeypatch.setattr(
        steps, '_values', lambda losses: seen.append(losses) or values(losses)
    )
    benchmark(config(), rounds=1)
    alone, wrapped = seen
    assert {*alone} == {*wrapped} and 'loss_cls' in alone
    assert values(alone) == values(wrapped)

    prepared = steps.Steps.prepared

    def drawn(self, row, number):
        step = prepared(self, row, number)
        if row == STEP:
            torch.rand(1)
        return step

    monkeypatch.setattr(steps.Steps, 'prepared', drawn)
    with pytest.raises(RuntimeError, match="student's loss_.* in the pair"):
        benchmark(config(), rounds=1)


def test_no_step_trains(config, monkeypatch):
    """With a learning rate of 0, each round measures the same network."""
    kept = {}

    class Keep(Hook):
        priority = 'LOW'

        def before_train(self, runner):
            kept['model'] = runner.model
            kept['before'] = [p.clone() for p in runner.model.parameters()]

    monkeypatch.setattr(
        module,
        'short_run',
        lambda cfg, hook, steps, run=module.short_run: run(
            cfg, _Both(Keep(), hook), steps
        ),
    )
    benchmark(config(), rounds=2)
    after = [*kept['model'].parameters()]
    assert all(map(torch.equal, kept['before'], after))


class _Both(Hook):
    priority = 'LOWEST'

    def __init__(self, *hooks):
        self.hooks = hooks

    def before_train(self, runner):
        for hook in self.hooks:
            hook.before_train(runner)


def test_each_switch_of_the_teacher(config):
    result = benchmark(config(), rounds=1, switches=True)
    assert [*result.teacher] == [
        'teacher: exact',
        'teacher: fuse_conv_bn',
        'teacher: fuse_conv_bn, channels_last',
        'teacher: fuse_conv_bn, channels_last, dtype',
    ]
    assert 'to exact' in text_of(result)


def test_mmrazor_beside_it(config):
    result = benchmark(config(dict(feats=PKD)), rounds=1, mmrazor=True)
    ours = [row for row in result.times if row.startswith('mmrazor')]
    kinds = 'SingleTeacherDistill', 'FpnTeacherDistill'
    assert ours == [f'mmrazor {kind}' for kind in kinds]
    assert {*ours} <= {*result.memory}


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(rounds=0), 'rounds=0'),
        (dict(threads=0), 'threads=0'),
    ],
)
def test_wrong_numbers(config, changes, message):
    with pytest.raises(UserError, match=message):
        benchmark(config(), **changes)


def test_a_student_alone_has_no_floor(config):
    cfg = config()
    cfg.model = cfg.model.student
    with pytest.raises(UserError, match='has no teacher'):
        benchmark(cfg)


def test_command(config, tmp_path, capsys):
    file, out = tmp_path / 'pair.py', tmp_path / 'found.json'
    config().dump(file)
    words = [str(file), '--rounds', '2', '--json', str(out)]
    main('benchmark', words)
    text = capsys.readouterr().out
    assert 'to the student' in text and '(the floor)' in text
    found = json.loads(out.read_text())
    assert found['config'] == 'pair.py'
    assert [*found['rows']] == ROWS
    assert len(found['rows'][STEP]['seconds']) == 2
    assert found['rows'][STEP]['to_floor'][0] > 0
    shares = [part['share'] for part in found['parts'][STEP].values()]
    assert sum(shares) == pytest.approx(1, abs=1e-3)
    with pytest.raises(SystemExit):
        main('benchmark', [str(file), '--json', str(tmp_path)])
    assert '--json' in capsys.readouterr().err
