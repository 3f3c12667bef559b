"""Hooks and loops that find a detector in runner.model find the student."""

import json
from pathlib import Path

import pytest
import torch
from mmdet.models.detectors import FasterRCNN
from mmdet.registry import MODELS
from mmengine.hooks import Hook
from mmengine.hooks.test_time_aug_hook import build_runner_with_tta
from mmengine.runner import Runner
from parts_toy import both, hook_of, same, same_weights, scores
from tiny import KD, NUM, pair_cfg, run_cfg, tiny_spec

from kd_det.testing import tiny_pair

ZERO = dict(loss_kd=dict(KD['loss_kd'], loss_weight=0.0))
SIFN = dict(loss_sifn=dict(type='SIFNLoss', num_classes=NUM + 1))
LARGER = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(96, 96), keep_ratio=True),
    dict(type='PackDetInputs'),
]


@MODELS.register_module(name='EpochRCNNOfTests', force=True)
class EpochRCNN(FasterRCNN):
    """One that is told the epoch."""

    def set_epoch(self, epoch):
        self.epochs = [*getattr(self, 'epochs', ()), epoch]


def student(**changes):
    spec = tiny_spec()
    spec['backbone'].update(norm_eval=False)
    return dict(spec, **changes)


class Sizes(Hook):
    """Keep the height of the images of each step."""

    def __init__(self):
        self.seen = []

    def before_train_iter(self, runner, batch_idx, data_batch):
        self.seen.append(max(max(i.shape[1:]) for i in data_batch['inputs']))


EVERY = [
    dict(type='EMAHook', momentum=0.3, update_buffers=True),
    dict(type='CheckInvalidLossHook', interval=1),
    dict(type='NumClassCheckHook'),
    dict(type='PipelineSwitchHook', switch_epoch=1, switch_pipeline=LARGER),
    dict(type='SetEpochInfoHook'),
    dict(type='SyncNormHook'),
    dict(type='SyncBuffersHook'),
    dict(type='EmptyCacheHook', after_iter=True),
    dict(type='DetVisualizationHook', draw=True, interval=3, score_thr=0.0),
    dict(type='TrainAugmentDetVisualizationHook', draw=True, interval=6),
    dict(type='ProfilerHook', by_epoch=False, profile_times=2),
    dict(type='EarlyStoppingHook', monitor='coco/bbox_mAP', patience=1),
]


@pytest.fixture(scope='module')
def runs(shapes, teacher, tmp_path_factory):
    """An EpochBasedTrainLoop with all these hooks, alone and as a pair."""

    def run(model, work_dir):
        cfg = run_cfg(model, shapes, work_dir)
        cfg.train_cfg.update(max_epochs=4, val_interval=1)
        trace = f'{work_dir}/trace.json'
        hooks = [dict(hook) for hook in EVERY]
        hooks[10]['json_trace_path'] = trace
        cfg.custom_hooks = hooks
        cfg.default_hooks = dict(
            logger=dict(type='LoggerHook', interval=1),
            timer=dict(type='IterTimerHook'),
            param_scheduler=dict(type='ParamSchedulerHook'),
            sampler_seed=dict(type='DistSamplerSeedHook'),
            runtime_info=dict(type='RuntimeInfoHook'),
            checkpoint=dict(type='CheckpointHook', interval=1),
        )
        cfg.param_scheduler = [
            dict(type='MultiStepLR', milestones=[1], gamma=0.1)
        ]
        cfg.visualizer = dict(
            type='DetLocalVisualizer',
            name=str(work_dir),
            vis_backends=[dict(type='LocalVisBackend')],
        )
        return cfg

    spec = student(type='EpochRCNNOfTests')
    losses = {**ZERO, 'loss_sifn': dict(SIFN['loss_sifn'], loss_weight=0.0)}
    return both(
        run,
        pair_cfg(teacher, losses, student=spec),
        tmp_path_factory.mktemp('every'),
        Sizes,
    )


def test_every_hook_at_once_does_what_it_does_without_a_teacher(runs):
    """The weights, the average, what validation saw and what is written."""
    alone, pair = runs
    same_weights(alone, pair)
    assert scores(alone) == scores(pair) and scores(pair)
    averages = [hook_of(run, 'EMAHook').ema_model for run in runs]
    same(*(average.module.state_dict() for average in averages))
    moved = dict(pair.model.student.named_parameters())
    assert any(
        not torch.equal(value, moved[key])
        for key, value in averages[1].module.student.named_parameters()
    )
    files = [torch.load(_last(run), weights_only=False) for run in runs]
    same(*(file['state_dict'] for file in files))


def _last(runner):
    return (Path(runner.work_dir) / 'last_checkpoint').read_text()


def _written(runner, pattern):
    return sorted(Path(runner.work_dir).glob(pattern))


def test_the_student_is_told_the_epoch(runs):
    alone, pair = runs
    assert pair.model.student.epochs == alone.model.epochs == [0, 1]


def test_the_pipeline_is_switched(runs):
    for run in runs:
        seen = hook_of(run, 'Sizes').seen
        assert seen == [64] * 6 + [96] * 6


def test_the_run_stops_early(runs):
    """Both at the second epoch of four: random boxes do not get better."""
    for run in runs:
        assert run.epoch == 2 and run.max_epochs == 4


def test_the_rate_falls_and_is_logged(runs):
    for run in runs:
        (path,) = _written(run, '*/vis_data/scalars.json')
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        rates = [line['lr'] for line in lines if 'lr' in line]
        assert rates[:12] == pytest.approx([0.01] * 6 + [0.001] * 6)
        assert all('time' in line for line in lines if 'lr' in line)


def test_pictures_and_a_trace_are_written(runs):
    for run in runs:
        names = {p.name for p in _written(run, '*/vis_data/vis_image/*.png')}
        assert any(name.startswith('val_img') for name in names)
        assert any(name.startswith('train_img') for name in names)
        (trace,) = _written(run, 'trace.json')
        assert json.loads(trace.read_text())['traceEvents']


def test_a_wrong_number_of_classes_is_still_found(shapes, teacher, tmp_path):
    cfg = run_cfg(pair_cfg(teacher, SIFN), shapes, tmp_path)
    cfg.custom_hooks = [dict(type='NumClassCheckHook')]
    runner = Runner.from_cfg(cfg)
    runner.model.roi_head.bbox_head.num_classes = NUM + 3
    with pytest.raises(AssertionError, match='does not matches'):
        runner.train()


def yolox(widen: float = 0.125) -> dict:
    width = round(256 * widen)
    return dict(
        cfg='mmdet::yolox/yolox_tiny_8xb8-300e_coco.py',
        num_classes=NUM,
        data_preprocessor=dict(batch_augments=None),
        backbone=dict(widen_factor=widen, deepen_factor=0.33),
        neck=dict(
            in_channels=[width, 2 * width, 4 * width], out_channels=width
        ),
        bbox_head=dict(in_channels=width, feat_channels=width),
    )


def test_yolox_switches_its_mode(shapes, tmp_path):
    """Mosaic ends and the L1 loss begins, in the student of a pair too."""
    feature = dict(
        type='FeatureDistiller',
        losses=dict(loss_pkd=dict(type='PKDLoss')),
    )
    model = tiny_pair(
        tmp_path,
        student=yolox(),
        teacher=yolox(),
        num_classes=NUM,
        distillers=dict(neck=feature),
    )
    logged = {}

    class Losses(Hook):
        def after_train_iter(self, runner, batch_idx, data_batch, outputs):
            seen = logged.setdefault(runner.work_dir, [])
            seen.append('loss_l1' in outputs and outputs['loss_l1'].item() > 0)

    def run(model, work_dir):
        cfg = run_cfg(model, shapes, work_dir)
        cfg.train_cfg.max_epochs = 3
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        leaf = cfg.train_dataloader.dataset
        mosaic = dict(type='Mosaic', img_scale=(64, 64), pad_val=114.0)
        inner = dict(leaf, pipeline=leaf.pipeline[:2])
        cfg.train_dataloader.dataset = dict(
            type='MultiImageMixDataset',
            dataset=inner,
            pipeline=[mosaic, *leaf.pipeline[2:]],
        )
        cfg.custom_hooks = [
            dict(type='YOLOXModeSwitchHook', num_last_epochs=1)
        ]
        return cfg

    alone, pair = both(run, model, tmp_path, Losses)
    assert pair.model.student.bbox_head.use_l1
    assert 'use_l1' not in vars(pair.model)
    assert pair.train_dataloader.dataset._skip_type_keys == (
        'Mosaic',
        'RandomAffine',
        'MixUp',
    )
    assert [*logged.values()] == [[False] * 6 + [True] * 12] * 2


def test_iterations_and_a_test(shapes, teacher, tmp_path):
    """IterBasedTrainLoop, ValLoop, TestLoop; flips by PrepareTTAHook."""

    def run(model, work_dir):
        cfg = run_cfg(model, shapes, work_dir)
        cfg.train_cfg = dict(
            type='IterBasedTrainLoop', max_iters=4, val_interval=2
        )
        cfg.visualizer = dict(
            type='Visualizer',
            name=str(work_dir),
            vis_backends=[dict(type='LocalVisBackend')],
        )
        return cfg

    runs = both(run, pair_cfg(teacher, ZERO, student=student()), tmp_path)
    same_weights(*runs)
    assert scores(runs[0]) == scores(runs[1])
    tested = [run.test() for run in runs]
    assert tested[0] == tested[1] and tested[0]
    flipped = []
    for run in runs:
        cfg = run.cfg
        load, resize, boxes, pack = cfg.test_dataloader.dataset.pipeline
        meta = (*pack['meta_keys'], 'flip', 'flip_direction')
        flips = [dict(type='RandomFlip', prob=p) for p in (0.0, 1.0)]
        pack = dict(pack, meta_keys=meta)
        views = [[resize], flips, [boxes], [pack]]
        cfg.tta_pipeline = [load, dict(type='TestTimeAug', transforms=views)]
        nms = dict(type='nms', iou_threshold=0.5)
        cfg.tta_model = dict(
            type='DetTTAModel', tta_cfg=dict(nms=nms, max_per_img=20)
        )
        cfg.load_from = _last(run)
        cfg.experiment_name += '_tta'
        flipped.append(build_runner_with_tta(cfg).test())
    assert flipped[0] == flipped[1] != tested[0]
