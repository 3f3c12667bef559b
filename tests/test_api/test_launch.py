"""What is wrong is said in one sentence before the first step."""

import os
import re

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import CheckpointLoader
from tiny import (
    CLASSES,
    KD,
    ND,
    NUM,
    other_annotations,
    pair_cfg,
    run_cfg,
    tiny_spec,
    write_weights,
)

from kd_det.api import launch
from kd_det.centroids import CentroidBank
from kd_det.cli import run_tool
from kd_det.errors import UserError
from kd_det.models.spec import read_spec
from kd_det.precompute.centroids import write_centroids
from kd_det.registry import MODELS
from kd_det.testing import save_teacher


@HOOKS.register_module(name='StepsOfTests', force=True)
class Steps(Hook):
    """Count the steps of all runs."""

    taken = 0

    def before_train_iter(self, *args, **kwargs):
        Steps.taken += 1


@pytest.fixture
def write(shapes, tmp_path):
    """Write the config of a run and return its path."""

    def run(model=None, name='run.py', folder=shapes, **changes):
        model = model or read_spec(tiny_spec(), 'student')[0]
        cfg = run_cfg(model, folder, tmp_path / 'run', **changes)
        cfg.custom_hooks = [
            dict(type='kd_det.TeacherCheckHook', floor=None, num_images=1),
            dict(type='kd_det.CentroidHook'),
        ] * ('teacher' in model) + [dict(type='StepsOfTests')]
        cfg.dump(tmp_path / name)
        return str(tmp_path / name)

    return run


def train(config, teacher=None, options=None, **kwargs):
    cfg = launch.prepare(config, teacher=teacher, options=options)
    launch.train(cfg, **kwargs)


def refused(message, call, *args, kind=UserError, **kwargs):
    """One sentence, before any step."""
    before = Steps.taken
    with pytest.raises(kind, match=message) as caught:
        call(*args, **kwargs)
    text = str(caught.value)
    assert '\n' not in text
    assert Steps.taken == before


def test_train_test_and_centroids(write, teacher, tmp_path, capsys):
    """The three tools' functions, one after the other."""
    bank = tmp_path / 'bank.npz'
    config = write(pair_cfg(dict(teacher, ckpt=None), {**KD, **ND}, bank))
    before = Steps.taken
    cfg = launch.prepare(config, teacher=teacher['ckpt'])
    assert write_centroids(cfg) == str(bank)
    assert 'Wrote ' in capsys.readouterr().out
    assert CentroidBank.load(bank).provenance['source'] == 'proposals'
    train(config, teacher['ckpt'], seed=3)
    assert Steps.taken - before == 6
    checkpoint = f'{tmp_path}/run/epoch_1.pth'
    cfg = launch.prepare(config)
    prefix = tmp_path / 'predictions' / 'student'
    runner = launch.tester(cfg, checkpoint, str(prefix))
    assert type(runner.model).__name__ == 'FasterRCNN'
    scores = runner.test()
    assert 0 <= scores['coco/bbox_mAP'] <= 1
    assert os.path.getsize(f'{prefix}.bbox.json') > 0


def test_show_dir(write, shapes, tmp_path):
    spec = save_teacher(tiny_spec(), tmp_path / 'student.pth', CLASSES)
    config = write(
        visualizer=dict(
            type='DetLocalVisualizer',
            vis_backends=[dict(type='LocalVisBackend')],
        )
    )
    cfg = launch.prepare(config, work_dir=str(tmp_path / 'work'))
    launch.tester(cfg, spec['ckpt'], show_dir=str(tmp_path / 'shown')).test()
    shown = [*(tmp_path / 'shown').rglob('*.png')]
    assert len(shown) == 6


def test_each_run_of_a_process_logs_into_its_own_folder(write, tmp_path):
    spec = save_teacher(tiny_spec(), tmp_path / 'student.pth', CLASSES)
    config = write(
        visualizer=dict(
            type='DetLocalVisualizer',
            name='visualizer',  # as MMDetection's runtime calls each of them
            vis_backends=[dict(type='LocalVisBackend')],
        )
    )
    for name in ('first', 'second'):
        cfg = launch.prepare(config, work_dir=str(tmp_path / name))
        runner = launch.tester(cfg, spec['ckpt'])
        (config_file,) = (tmp_path / name).glob('*/vis_data/config.py')
        backend = runner.visualizer.get_backend('LocalVisBackend')
        assert backend._save_dir == str(config_file.parent)


def test_several_evaluators(write, tmp_path, shapes):
    spec = save_teacher(tiny_spec(), tmp_path / 'student.pth', CLASSES)
    metric = dict(
        type='CocoMetric',
        metric='bbox',
        ann_file=f'{shapes}/annotations/instances_val.json',
    )
    dump = dict(type='DumpDetResults', out_file_path=f'{tmp_path}/all.pkl')
    cfg = launch.prepare(write(test_evaluator=[metric, dump]))
    prefix = str(tmp_path / 'out')
    launch.tester(cfg, spec['ckpt'], prefix).test()
    assert os.path.getsize(f'{prefix}.bbox.json')


def test_where_it_writes(write, tmp_path):
    config = write()
    assert launch.prepare(config).work_dir == str(tmp_path / 'run')
    assert launch.prepare(config, work_dir='here').work_dir == 'here'
    with open(config, 'a') as file:
        file.write('\nwork_dir = None\n')
    assert launch.prepare(config).work_dir == 'work_dirs/run'


def test_work_of_options(write):
    cfg = launch.prepare(write(), options={'optim_wrapper.optimizer.lr': 9})
    assert cfg.optim_wrapper.optimizer.lr == 9


@HOOKS.register_module(name='BreakOfTests', force=True)
class Break(Hook):
    """Fail after the first step."""

    def after_train_iter(self, *args, **kwargs):
        raise UserError('Broken.')


@HOOKS.register_module(name='RefuseOfTests', force=True)
class Refuse(Hook):
    """Refuse the run once the first step has begun."""

    priority = 'LOWEST'

    def __init__(self, **_):
        pass

    def before_train_iter(self, *args, **kwargs):
        raise UserError('No.')


def test_a_refusal_leaves_nothing_behind(write, teacher, tmp_path):
    """Before the first step neither a new folder nor a changed one."""
    config = write(pair_cfg(teacher))
    for options in (
        {'model.distillers.roi.type': 'RoiDistiller'},  # at the build
        {'custom_hooks.0.floor': 2.0},  # by a hook
        {'load_from': 'nope.pth'},
        {'model.teacher.ckpt': 'nope.pth'},
        {'custom_hooks.0.type': 'RefuseOfTests'},  # within the first step
    ):
        before = sorted(os.listdir(tmp_path))
        deep = str(tmp_path / 'new/folder')
        with pytest.raises((UserError, FileNotFoundError)):
            launch.train(launch.prepare(config, deep, options))
        assert sorted(os.listdir(tmp_path)) == before
    folder = tmp_path / 'run'
    folder.mkdir()
    (folder / 'run.py').write_text('old = 1')
    (folder / 'epoch_1.pth').touch()
    wrong = {'model.distillers.roi.type': 'RoiDistiller'}
    refused('did you mean', train, config, None, wrong)
    assert sorted(os.listdir(folder)) == ['epoch_1.pth', 'run.py']
    assert (folder / 'run.py').read_text() == 'old = 1'
    cfg = launch.prepare(config)
    refused('fit the student', launch.tester, cfg, teacher['ckpt'])
    assert len(os.listdir(folder)) == 2


def test_what_has_begun_stays(write, tmp_path):
    config = write(custom_hooks=[dict(type='BreakOfTests')])
    with open(config, 'a') as file:
        file.write("\ncustom_hooks = [dict(type='BreakOfTests')]\n")
    with pytest.raises(UserError, match='Broken'):
        train(config)
    assert {'run.py'} < {*os.listdir(tmp_path / 'run')}


# ------------------------------------------------------ what can be wrong


def test_a_work_dir_that_can_be_none(write, tmp_path):
    config = write()
    for name in ('run.py', 'run.py/deeper'):
        message = (
            "directory '.*' cannot be a folder, since .*run.py' is a file"
        )
        cfg = launch.prepare(config, str(tmp_path / name))
        refused(message, launch.train, cfg)


def test_configs(write, tmp_path):
    refused('no config', train, 'nope.py', kind=FileNotFoundError)
    (tmp_path / 'bad.py').write_text('model = dict(')
    refused('never closed', train, str(tmp_path / 'bad.py'))
    (tmp_path / 'bad.py').write_text('x = 1')
    refused('has no model', train, str(tmp_path / 'bad.py'))


def test_teacher_of_a_config_without_one(write, teacher):
    message = "--teacher '.*teacher.pth': config '.*run.py' has no teacher"
    refused(message, train, write(), teacher['ckpt'])


def test_launcher_without_ranks(write, monkeypatch):
    monkeypatch.delenv('RANK', raising=False)
    message = '--launcher pytorch: .* start the command with `torchrun'
    refused(message, launch.prepare, write(), launcher='pytorch')


def test_amp_without_an_accelerator(write):
    if torch.cuda.is_available():
        pytest.skip('there is one')
    refused('--amp requires an accelerator', train, write(), amp=True)


def test_learning_rate_of_no_batch_size(write):
    message = 'no auto_scale_lr.base_batch_size'
    refused(message, train, write(), auto_scale_lr=True)
    config = write(auto_scale_lr=dict(enable=False))
    refused(message, train, config, auto_scale_lr=True)


def test_resume_from_nothing(write):
    refused(
        "no checkpoint 'nope.pth' to resume",
        train,
        write(),
        resume='nope.pth',
        kind=FileNotFoundError,
    )


def evil(path, trap, **extra):
    class Touch:
        def __reduce__(self):
            return os.system, (f'touch {trap}',)

    torch.save(dict(state_dict={}, meta=dict(x=Touch()), **extra), path)
    return str(path)


def test_teachers(write, teacher, tmp_path):
    config = write(pair_cfg(teacher))
    trap, cut = tmp_path / 'executed', tmp_path / 'cut.pth'
    with open(teacher['ckpt'], 'rb') as file:
        content = file.read()
    cut.write_bytes(content[: len(content) // 2])
    other = save_teacher(tiny_spec(18), tmp_path / 'r18.pth')['ckpt']
    fewer = save_teacher(tiny_spec(50, NUM - 1), tmp_path / 'f.pth')['ckpt']
    names = tuple('abcdefg')
    strange = save_teacher(tiny_spec(50), tmp_path / 'o.pth', names)['ckpt']
    refused(
        "no checkpoint 'none.pth'",
        train,
        config,
        'none.pth',
        kind=FileNotFoundError,
    )
    for ckpt, message in (
        (str(cut), "cut.pth' of .* bytes cannot be read .* truncated"),
        (other, 'keys missing .* give the checkpoint of this config'),
        (fewer, 'shapes differ .* class lists'),
        (strange, r'no class in common: \(circle, square, .* and \(a, b'),
        (evil(tmp_path / 'e.pth', trap), "asks for '.*system'.*--trust-pick"),
        (
            'https://checkpoints.invalid/x.pth',
            'Cannot download .*pass the local file: --teacher FILE',
        ),
    ):
        refused(message, train, config, ckpt)
    assert not trap.exists()
    nothing = write(pair_cfg(dict(teacher, ckpt=None)))
    refused('pass --teacher FILE', train, nothing)


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('student.cfg', 'mmdet::nope', "config 'mmdet::nope' cannot be read"),
        ('teacher.cfg', 'mmdet::nope', "config 'mmdet::nope' cannot be read"),
        ('teacher.dtype', 'int8', "dtype='int8'; accepted"),
        ('teacher.chkpt', 'x.pth', "did you mean 'teacher.ckpt'"),
        ('teacher.fuse_convbn', True, "mean 'teacher.fuse_conv_bn'"),
        ('student.backbon', dict(depth=50), "mean 'student.backbone'"),
        ('student', 'x', "The student is 'x'"),
        ('distillers.roi', 'x', "distillers.roi is 'x'"),
        ('distillers.roi.type', 'RoiDistiller', "mean 'RoIDistiller'"),
        ('distillers.roi.losses', dict(kd={}), "start with 'loss_'"),
        ('distillers.roi.losses.loss_kd.type', 'KD', "unknown type 'KD'"),
        ('distillers.roi.losses.loss_nd', dict(type='NDLoss'), 'centroids='),
        ('distillers.roi.taps', dict(logits='nope'), "submodule 'nope'"),
    ],
)
def test_pairs(write, teacher, key, value, message):
    refused(
        message, train, write(pair_cfg(teacher)), None, {f'model.{key}': value}
    )


def test_weights_of_the_student(write, teacher, tmp_path):
    """An address that cannot be reached, and a file that runs code."""
    trap = tmp_path / 'executed'
    for source, message in (
        ('https://checkpoints.invalid/x.pth', 'Cannot download .*init_cfg'),
        (evil(tmp_path / 'e.pth', trap), '--trust-pickle'),
        ('torchvision://resnet19', "no weights 'resnet19'"),
    ):
        init = dict(_delete_=True, type='Pretrained', checkpoint=source)
        config = write(pair_cfg(teacher))
        options = {'model.student.backbone.init_cfg': init}
        refused(message, train, config, None, options)
    assert not trap.exists()


def test_a_teachers_own_pretraining_is_not_fetched(write, teacher):
    """Its checkpoint has all weights: init_cfg must not want a network."""
    options = {
        'model.teacher.backbone.init_cfg': dict(
            _delete_=True,
            type='Pretrained',
            checkpoint='https://checkpoints.invalid/x.pth',
        )
    }
    before = Steps.taken
    train(write(pair_cfg(teacher)), None, options)
    assert Steps.taken == before + 6


def test_banks(write, teacher, bank, tmp_path):
    path = tmp_path / 'bank.npz'
    old = CentroidBank.load(bank)

    def wrong(message, **change):
        fields = dict(vars(old), **change)
        CentroidBank(**fields).save(path)
        refused(message, train, write(pair_cfg(teacher, ND, path)))

    def origin(**change):
        return dict(provenance=dict(old.provenance, **change))

    wrong('another teacher', **origin(teacher_sha256='0' * 64))
    wrong('another annotation file', **origin(annotation_sha256='0' * 64))
    wrong('16 wide', centroids=old.centroids[:, :16])
    wrong('not finite', centroids=old.centroids * np.nan)
    wrong("is 'a', not 'circle'", classes=tuple('abcdefgh'))
    path.write_text('{"0": [1, 2]}')
    refused('2 wide', train, write(pair_cfg(teacher, ND, path)))


def test_data(write, teacher, shapes, tmp_path):
    def shift(table):
        for annotation in table['annotations']:
            annotation['category_id'] += 100

    config = write(pair_cfg(teacher))
    refused(
        "no train annotation file 'nope/annotations/",
        train,
        config,
        None,
        dict(data_root='nope'),
        kind=FileNotFoundError,
    )
    order = (CLASSES[1], CLASSES[0], *CLASSES[2:])
    refused('in a different order', train, config, None, dict(classes=order))
    spelt = ('circel', *CLASSES[1:])
    refused("mean 'circle'", train, config, None, dict(classes=spelt))
    for change, message in (
        (shift, 'No annotation'),
        (lambda table: table.pop('categories'), 'not COCO json'),
    ):
        folder = other_annotations(shapes, tmp_path / message, change)
        refused(message, train, write(pair_cfg(teacher), folder=folder))


def test_fewer_classes_than_the_teacher(write, teacher, caplog):
    """Of what the teacher knows the run takes its share, by name."""
    cfg = launch.prepare(
        write(pair_cfg(teacher)), None, dict(classes=CLASSES[2:0:-1])
    )
    cfg.model.teacher.ckpt = save_teacher(
        tiny_spec(50), f'{cfg.work_dir}.pth', CLASSES
    )['ckpt']
    model = MODELS.build(cfg.model)
    match = model.distill['roi'].match
    assert match.names == CLASSES[2:0:-1]
    assert match.teacher.tolist() == [2, 1, NUM]


def test_checkpoints_to_test(write, teacher, tmp_path):
    config = write(pair_cfg(teacher))
    cfg = launch.prepare(config)
    trap = tmp_path / 'executed'
    refused(
        "There is no checkpoint 'none.pth'",
        launch.tester,
        cfg,
        'none.pth',
        kind=FileNotFoundError,
    )
    refused('fit the student FasterRCNN', launch.tester, cfg, teacher['ckpt'])
    path = evil(tmp_path / 'e.pth', trap)
    refused('--trust-pickle', launch.tester, cfg, path)
    assert not trap.exists()
    refused('fit the student', launch.tester, cfg, path, trust_pickle=True)
    assert trap.exists()


def test_means_of_nothing(write, teacher):
    cfg = launch.prepare(write())
    refused('The config has no teacher', write_centroids, cfg)
    cfg = launch.prepare(write(pair_cfg(teacher)))
    refused("'roi' has no centroid file", write_centroids, cfg)
    cfg.model.distillers = {}
    refused('has no distiller', write_centroids, cfg)


def test_means_replace_an_old_file(write, teacher, tmp_path):
    """An old bank of another teacher does not stand in the way."""
    path = tmp_path / 'bank.npz'
    path.write_text('nonsense')
    cfg = launch.prepare(write(pair_cfg(teacher, ND, path)))
    write_centroids(cfg, 'gt', seed=4)
    bank = CentroidBank.load(path)
    assert bank.provenance['source'] == 'gt' and bank.counts[-1] == 0
    assert bank.provenance['seed'] == 4
    assert sorted(os.listdir(tmp_path)) == ['bank.npz', 'run.py']
    other = str(tmp_path / 'other.npz')
    cfg = launch.prepare(write(pair_cfg(teacher)))  # plain KD, any teacher
    assert write_centroids(cfg, out=other) == other


def test_resume_executes_nothing(write, tmp_path):
    """Neither the pickle nor the config text that MMEngine would run."""
    train(write())
    path, trap = tmp_path / 'run/epoch_1.pth', tmp_path / 'executed'
    checkpoint = torch.load(path, weights_only=False)
    code = f'import os\nos.system("touch {trap}")\n'
    checkpoint['meta']['config'] = code
    torch.save(checkpoint, tmp_path / 'config.pth')
    config = write(train_cfg__max_epochs=2)
    before = Steps.taken
    train(config, resume=str(tmp_path / 'config.pth'))
    assert Steps.taken == before + 6
    assert not trap.exists()
    del checkpoint['meta']['config']
    bad = evil(tmp_path / 'e.pth', trap, optimizer=checkpoint['optimizer'])
    refused('--trust-pickle', train, config, resume=bad)
    refused('--trust-pickle', train, config, None, dict(load_from=bad))
    assert not trap.exists()


def test_trust_is_for_the_whole_run(write, teacher, tmp_path):
    trap = tmp_path / 'executed'

    def poison(state):
        class Touch:
            def __reduce__(self):
                return os.system, (f'touch {trap}',)

        state['distill.x'] = Touch()

    spec = write_weights(tiny_spec(50), tmp_path / 't.pth', poison)
    config = write(pair_cfg(spec))
    before = dict(CheckpointLoader._schemes)
    try:
        cfg = launch.prepare(config, trust_pickle=True)
        assert cfg.model.teacher.trust_pickle
        write_centroids(cfg, out=str(tmp_path / 'bank.npz'))
    finally:
        CheckpointLoader._schemes.update(before)
    assert trap.exists()


def test_run_tool(capsys):
    for error in (UserError('One sentence.'), FileNotFoundError('No file.')):

        def main(error=error):
            raise error

        with pytest.raises(SystemExit) as caught:
            run_tool(main)
        assert caught.value.code == 2
        assert capsys.readouterr().err == f'error: {error}\n'
    with pytest.raises(KeyError):  # a bug of ours keeps its traceback
        run_tool(lambda: {}['x'])
    assert run_tool(lambda: None) is None


def failing(cfg):
    return lambda: MODELS.build(cfg)


@pytest.mark.parametrize(
    'cfg, message',
    [
        (
            dict(type='kd_det.DistilModel'),
            "type 'kd_det.DistilModel', .* did you mean 'DistillModel'",
        ),
        (
            dict(type='kd_det.KDLoss', tao=1.0),
            r"KDLoss.*unexpected keyword argument 'tao'\); correct the key",
        ),
        (
            dict(type='kd_det.DistillModel'),
            'missing 2 required .*; correct the key',
        ),
    ],
)
def test_a_config_that_no_registry_can_build(capsys, cfg, message):
    with pytest.raises(SystemExit) as caught:
        run_tool(failing(cfg))
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert re.search(message, said) and said.count('\n') == 1


def test_an_error_inside_a_part_keeps_its_traceback():
    class Broken(torch.nn.Module):
        def __init__(self):
            super().__init__(size=3)

    cfg = dict(type=Broken)
    with pytest.raises(TypeError, match='unexpected keyword'):
        run_tool(failing(cfg))


def test_seed_out_of_range(write):
    refused('--seed -1: an integer from 0', train, write(), seed=-1)


def test_resume_from_an_exported_student(write, teacher):
    refused(
        'training cannot resume from it',
        train,
        write(),
        resume=teacher['ckpt'],
    )
