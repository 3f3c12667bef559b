"""`kd_det new`: which methods fit two networks, and the file it writes."""

import json
import re
from pathlib import Path

import pytest
from mmengine.config import Config
from tiny import CLASSES, NUM, tiny_spec

import kd_det
from kd_det import cli
from kd_det.api.methods import Pair, presets
from kd_det.api.pair import new_pair
from kd_det.api.run import epoch_options
from kd_det.config import load_config
from kd_det.errors import UserError
from kd_det.models.spec import read_spec
from kd_det.testing import (
    save_teacher,
    tiny_classifier,
    tiny_detector,
    tiny_run,
)

GUIDE = Path(__file__).parents[2] / 'docs/user_guides/python.md'
WIDE = dict(roi_head=dict(bbox_head=dict(fc_out_channels=64)))
# a random teacher finds nothing, and one image is enough
UNCHECKED = {'custom_hooks.0.floor': None, 'custom_hooks.0.num_images': 1}


@pytest.fixture(scope='module')
def room(tmp_path_factory, teacher, shapes):
    """A folder with configs of networks and their data."""
    folder = tmp_path_factory.mktemp('room')
    own = read_spec(tiny_spec(), 'student')[0]
    cfg = tiny_run(own, shapes, folder / 'unused', CLASSES)
    cfg.pop('work_dir')  # of this run alone
    cfg.dump(folder / 'student.py')
    dense = save_teacher(
        tiny_detector('gfl', 50, NUM), folder / 'gfl.pth', CLASSES
    )
    dino = save_teacher(
        tiny_detector('dino', 50, NUM), folder / 'dino.pth', CLASSES
    )
    masks = save_teacher(
        tiny_detector('mask_rcnn', 50, NUM), folder / 'masks.pth', CLASSES
    )
    classifier = tiny_classifier()
    for name, spec in dict(
        teacher=teacher,
        wide=dict(tiny_spec(), **WIDE),
        gfl=tiny_detector('gfl', 18, NUM),
        gfl_teacher=dense,
        detr=tiny_detector('detr', 18, NUM),
        dino_teacher=dino,
        masks=tiny_detector('mask_rcnn', 18, NUM),
        masks_teacher=masks,
        classifier=classifier,
    ).items():
        spec = {k: v for k, v in spec.items() if k != 'ckpt'}
        model = read_spec(spec, 'network')[0]
        scope = model.get('_scope_', 'mmdet')
        Config(dict(model=model, default_scope=scope)).dump(
            folder / f'{name}.py'
        )
    return folder


@pytest.fixture
def new(room, teacher, shapes, capsys, monkeypatch):
    """Write a pair; return its config and what was printed."""
    monkeypatch.chdir(room)

    def write(student='student.py', out='mine/pair.py', **changes):
        given = dict(
            student=student,
            teacher='teacher.py',
            ckpt=teacher['ckpt'],
            data=str(shapes),
            out=out,
            force=True,
        )
        new_pair(**{**given, **changes})
        assert len(Path(out).read_text().splitlines()) <= 15
        return load_config(out), capsys.readouterr().out

    return write


def test_a_pair_that_can_be_stitched(new, shapes, teacher):
    cfg, text = new()
    assert cfg.model.student.inherit == ('neck', 'rpn_head', 'roi_head')
    assert cfg.model.student.stitch is True
    assert 'distillers' not in cfg.model
    assert cfg.model.teacher.ckpt == teacher['ckpt']
    assert cfg.classes == CLASSES
    # data and schedule are the student's own
    own = load_config('student.py')
    assert cfg.train_dataloader.batch_size == own.train_dataloader.batch_size
    assert cfg.optim_wrapper == own.optim_wrapper
    assert cfg.train_dataloader.dataset.data_root == f'{shapes}/'
    kinds = [hook['type'] for hook in cfg.custom_hooks]
    assert kinds[0] == 'kd_det.TeacherCheckHook'
    assert {'kd_det.StitchHook', 'kd_det.RandomStateHook'} <= set(kinds)
    fits, _, refused = text.partition('Methods that do not fit:')
    assert 'stitch_roi: neck, rpn_head, roi_head start' in fits
    assert 'fitted to it: neck.lateral_convs.0.conv' in fits
    assert re.search(r' pkd, .*maps of the neck at strides 4, ', fits)
    assert re.search(r'kd_dense, .*: DenseDistiller', refused)
    assert 'Method: stitch_roi.' in text


def test_heads_of_other_widths(new):
    cfg, text = new('wide.py')
    assert 'pkd' in text.partition('Method: ')[2]
    assert cfg.model.distillers.feats.type == 'FeatureDistiller'
    assert 'not for this folder: coco_folder.py' in text
    refused = text.partition('Methods that do not fit:')[2]
    assert 'inherit_roi, stitch_roi: roi_head.bbox_head.fc_' in refused
    with pytest.raises(UserError, match='stitch does not fit .*8x64'):
        new('wide.py', method='stitch')


def test_the_ending_that_fits_is_taken(new, room):
    cfg, _ = new(method='nd')
    roi = cfg.model.distillers.roi
    assert roi.type == 'RoIDistiller'
    assert roi.centroids == f'{room}/mine/pair_means.npz'
    dense = dict(teacher='gfl_teacher.py', ckpt='gfl.pth')
    cfg, text = new('gfl.py', method='nd', **dense)
    assert cfg.model.distillers.dense.type == 'DenseDistiller'
    refused = text.partition('Methods that do not fit:')[2]
    assert 'kd_roi' in refused and 'stitch_dense' not in refused


def test_detrs_have_a_method_of_their_own(new):
    """Their heads are of no use without the decoder."""
    dino = dict(teacher='dino_teacher.py', ckpt='dino.pth')
    cfg, text = new('detr.py', method='kd', **dino)
    assert cfg.model.distillers.query.type == 'QueryDistiller'
    fits, _, refused = text.partition('Methods that do not fit:')
    assert 'the queries of DETRHead, DINOHead, 10 and 10' in fits
    assert 'which this preset does not inherit' in refused
    assert 'stitch_dense' in refused and 'pkd' not in refused


def test_a_method_brings_its_hooks(new, room):
    cfg, _ = new(method='iekd')
    kinds = [hook['type'] for hook in cfg.custom_hooks]
    assert {'kd_det.AutoEncoderHook', 'kd_det.FactorCosineHook'} <= set(kinds)
    coder = cfg.model.distillers.factor.auto_encoder
    assert coder == f'{room}/mine/pair_autoencoder.pth'
    assert 'method_hooks' not in cfg


def test_the_example_of_the_guide(room, teacher, shapes, monkeypatch):
    """Distil, evaluate and export, as the page does it."""
    monkeypatch.chdir(room)
    page = GUIDE.read_text()
    (code,) = re.findall(
        r'^```python\n(# mine/distill.*?)^```', page, re.M | re.S
    )
    for old, new in {
        'kd_det::detection/baseline_frcnn_lite0_slim_folder.py': 'student.py',
        'kd_det::detection/baseline_frcnn_lite2_slim_folder.py': 'teacher.py',
        'work_dirs/fruit_teacher/epoch_16.pth': teacher['ckpt'],
        'data/fruit': str(shapes),
        'work_dir=': f'epochs=1, options={UNCHECKED!r}, work_dir=',
    }.items():
        assert old in code
        code = code.replace(old, new)
    names = {}
    exec(code, names)
    run = names['run']
    assert run.work_dir == room / 'work_dirs/fruit_small'
    assert run.checkpoint == run.work_dir / 'epoch_1.pth'
    assert Path('exported_fruit/student.pth').is_file()
    pair = run.work_dir / 'pair.py'
    found = kd_det.evaluate(pair, run.checkpoint, work_dir='runs/test')
    assert found['coco/bbox_mAP'] == run.metrics['coco/bbox_mAP']
    read = Config.fromfile(pair)
    again = kd_det.evaluate(read, run.checkpoint, work_dir='runs/test')
    assert again == found


def test_a_written_pair_trains_from_the_shell(new, room):
    new(method='kd', out='mine/kd.py')
    Path('mine/child.py').write_text(
        "_base_ = './kd.py'\n"
        'custom_hooks = _base_.custom_hooks\n'
        'custom_hooks[0].update(floor=None, num_images=1)\n'
    )
    cli.main('train', ['mine/child.py', '--work-dir', 'runs/kd'])
    assert Path('runs/kd/epoch_1.pth').is_file()


def test_bad_input(new, room, tmp_path, shapes):
    Path('mine').mkdir(exist_ok=True)
    Path('mine/there.py').touch()

    def refused(message, kind=UserError, **changes):
        with pytest.raises(kind, match=message) as caught:
            new(**changes)
        assert '\n' not in str(caught.value)

    refused('exists; use another', out='mine/there.py', force=False)
    refused(r'does not end in \.py', out='mine/pair.txt')
    refused('is a folder', out='mine/')
    missing = FileNotFoundError
    refused("checkpoint 'no.pth' does not exist", missing, ckpt='no.pth')
    refused("folder 'nowhere' does not exist", missing, data='nowhere')
    refused("student config 'no.py'", student='no.py')
    refused('does not fit|no weight', teacher='gfl_teacher.py')
    refused('no annotations/instances_train.json', data=str(tmp_path))
    refused('ImageClassifier; an MMDetection det', student='classifier.py')
    refused("no method 'stich'.*did you mean 'stitch", method='stich')
    refused("Class 'dog' is not among", classes=('dog',))
    assert not [*Path('mine').glob('new_*')]


def test_classes_are_those_with_boxes(new, shapes, tmp_path):
    (tmp_path / 'annotations').mkdir()
    for split in ('train', 'val'):
        (tmp_path / split).symlink_to(shapes / split)
        name = f'annotations/instances_{split}.json'
        table = json.loads((shapes / name).read_text())
        unused = dict(id=99, name='everything')
        table['categories'].insert(0, unused)
        (tmp_path / name).write_text(json.dumps(table))
    cfg, _ = new(data=str(tmp_path))
    assert cfg.classes == CLASSES


def test_every_preset_fits_a_pair(room, teacher, monkeypatch):
    monkeypatch.chdir(room)
    unfitting = presets()
    for preset in unfitting.values():
        assert {*preset} <= {'method', 'method_hooks'}
    for small, large, ckpt in (
        ('student', 'teacher', teacher['ckpt']),
        ('gfl', 'gfl_teacher', 'gfl.pth'),
        ('detr', 'dino_teacher', 'dino.pth'),
        ('masks', 'masks_teacher', 'masks.pth'),
    ):
        pair = Pair(
            dict(cfg=f'{small}.py'),
            dict(cfg=f'{large}.py', ckpt=ckpt),
            CLASSES,
        )
        unfitting = {
            name: preset
            for name, preset in unfitting.items()
            if not pair.judge(name, preset).fits
        }
    assert not unfitting


def test_epochs_move_the_schedule():
    cfg = Config(
        dict(
            train_cfg=dict(max_epochs=12, val_interval=12),
            param_scheduler=[
                dict(type='LinearLR', by_epoch=False, end=500),
                dict(type='MultiStepLR', end=12, milestones=[8, 11]),
            ],
        )
    )
    assert epoch_options(cfg, 6) == {
        'train_cfg.max_epochs': 6,
        'train_cfg.val_interval': 6,
        'param_scheduler.1.end': 6,
        'param_scheduler.1.milestones': [4, 6],
    }
    with pytest.raises(UserError, match='epochs=0; an integer'):
        epoch_options(cfg, 0)
    with pytest.raises(UserError, match='in iterations'):
        epoch_options(Config(dict(train_cfg=dict(max_iters=9))), 3)
