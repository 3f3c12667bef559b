"""A teacher is looked at before a step is taken."""

import json
import random
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from tiny import CLASSES, pair_cfg, run_cfg, tiny_spec

from kd_det.api import launch
from kd_det.checkpoint import load_checkpoint
from kd_det.datasets import make_shapes
from kd_det.engine.hooks.teacher_check_hook import claimed_score
from kd_det.engine.run_record import load_record
from kd_det.errors import UserError
from kd_det.evaluation.some_images import score_only, some_of
from kd_det.models import FrozenTeacher
from kd_det.models.spec import read_spec
from kd_det.testing import save_teacher

HOOK = dict(type='kd_det.TeacherCheckHook', floor=None, num_images=4)


class Stop(Hook):
    """End a run before its first step, by an exception of its own."""

    priority = 'LOWEST'

    class Reached(Exception):
        pass

    def before_train_iter(self, *args, **kwargs):
        self.draws = torch.rand(1), np.random.rand(), random.random()
        raise self.Reached


@pytest.fixture(scope='module')
def own(shapes, tmp_path_factory):
    """The spec of a teacher that has a test pipeline, and never scores 0.

    Its config is that of a run, and its threshold lets every box count.
    """
    folder = tmp_path_factory.mktemp('own')
    spec = tiny_spec(50)
    spec['test_cfg']['rcnn'] = dict(score_thr=0.0)
    model, _ = read_spec(spec, 'teacher')
    cfg = run_cfg(model, shapes, folder)
    cfg.dump(folder / 'teacher.py')
    spec = dict(cfg=str(folder / 'teacher.py'))
    return save_teacher(spec, folder / 'teacher.pth', CLASSES)


@pytest.fixture(scope='module')
def at_size(own, tmp_path_factory):
    """Return the spec with the image size that is the teacher's own."""
    folder = tmp_path_factory.mktemp('sizes')

    def write(side):
        cfg = Config.fromfile(own['cfg'])
        for step in cfg.test_dataloader.dataset.pipeline:
            if step['type'] == 'Resize':
                step['scale'] = (side, side)
        path = folder / f'teacher{side}.py'
        cfg.dump(path)
        return dict(own, cfg=str(path))

    return write


def runner(model, shapes, folder, *hooks, **changes):
    cfg = run_cfg(model, shapes, folder / 'run', **changes)
    cfg.custom_hooks = [*hooks]
    return Runner.from_cfg(cfg)


def draws_of_first_step(run):
    stop = Stop()
    run.register_hook(stop)
    with pytest.raises(Stop.Reached):
        run.train()
    return stop.draws


def refused(message, run):
    run.register_hook(Stop())
    with pytest.raises(UserError, match=message) as caught:
        run.train()
    assert '\n' not in str(caught.value)


def logged(run):
    (log,) = Path(run.work_dir).rglob('*.log')
    return log.read_text()


def test_score_is_that_of_the_teacher_alone(own, shapes, tmp_path):
    run = runner(pair_cfg(own), shapes, tmp_path, HOOK, log_level='INFO')
    draws_of_first_step(run)
    cfg = run_cfg(
        read_spec({'cfg': own['cfg']}, 'teacher')[0],
        shapes,
        tmp_path / 'alone',
    )
    cfg.test_dataloader.dataset.indices = [0, 1, 3, 4]  # spread over 6
    cfg.load_from = own['ckpt']
    alone = Runner.from_cfg(cfg)
    metric = alone.test_evaluator
    metric = alone.build_evaluator(metric)
    dataset = alone.build_dataloader(cfg.test_dataloader).dataset
    metric.metrics[0].img_ids = [
        dataset.get_data_info(i)['img_id'] for i in range(4)
    ]
    alone._test_evaluator = metric
    score = alone.test()['coco/bbox_mAP']
    assert score > 0
    log = logged(run)
    assert f'bbox_mAP {score:.3f} on 4 validation images' in log
    assert 'claims no score' in log
    scale = 'Checking the teacher on 4 validation images, with Resize scale=('
    assert scale in log


def scores_in(log):
    """Return the scores of a log: at the teacher's size, at the run's."""
    return [float(s) for s in re.findall(r'bbox_mAP (\d\.\d+) on 4 val', log)]


def test_another_image_size_is_scored_too(own, at_size, shapes, tmp_path):
    """Each score is the one of a teacher whose own size it is."""
    run = runner(
        pair_cfg(at_size(32)), shapes, tmp_path / 'a', HOOK, log_level='INFO'
    )
    draws_of_first_step(run)
    log = logged(run)
    assert 'on 4 validation images, with Resize scale=(32, 32); its' in log
    assert (
        "on 4 validation images at the run's size, with Resize scale=("
        '64, 64); its metafile claims no score'
    ) in log
    alone = runner(
        pair_cfg(own), shapes, tmp_path / 'b', HOOK, log_level='INFO'
    )
    draws_of_first_step(alone)
    (expected,) = scores_in(logged(alone))
    assert 'as this run' not in logged(alone)
    here, there = scores_in(log)[:2]
    assert there == expected != here


def write_predictions(spec, shapes, path):
    """Write as the truth what a teacher predicts at its own image size."""
    network = FrozenTeacher(spec).model
    cfg = Config.fromfile(spec['cfg']).test_dataloader.dataset
    dataset = DATASETS.build(cfg)
    table = json.loads((shapes / cfg.ann_file).read_text())
    table['annotations'] = []
    for item in dataset:
        batch = {key: [value] for key, value in item.items()}
        with torch.no_grad():
            (found,) = network.test_step(batch)
        best = found.pred_instances[:3]
        for box, label in zip(best.bboxes.tolist(), best.labels.tolist()):
            width, height = box[2] - box[0], box[3] - box[1]
            table['annotations'].append(
                dict(
                    id=len(table['annotations']) + 1,
                    image_id=found.img_id,
                    category_id=dataset.cat_ids[label],
                    bbox=[*box[:2], width, height],
                    area=width * height,
                    iscrowd=0,
                )
            )
    path.write_text(json.dumps(table))


def test_good_at_its_own_size_only(own, at_size, shapes, tmp_path):
    spec = at_size(32)
    path = tmp_path / 'truth.json'
    write_predictions(spec, shapes, path)
    evaluator = dict(type='CocoMetric', ann_file=str(path), metric='bbox')
    changes = dict(log_level='INFO', val_evaluator=evaluator)
    run = runner(
        pair_cfg(spec), shapes, tmp_path / 'b', HOOK | dict(floor=0), **changes
    )
    draws_of_first_step(run)
    log = logged(run)
    here, there = scores_in(log)[:2]
    assert here > 0.9 and there < 0.8 * here
    assert 'WARNING - Teacher' in log
    assert (
        f"teacher.pth' is good only at its own image size: bbox_mAP {here:.3f}"
    ) in log
    floor = (here + there) / 2
    refused(
        r'scores bbox_mAP .* at the run\'s size, .*, below the floor of .*'
        r': at its own image size it scores bbox_mAP .*scale=\(32, 32\), so',
        runner(
            pair_cfg(spec),
            shapes,
            tmp_path / 'c',
            HOOK | dict(floor=floor),
            **changes,
        ),
    )


def test_draws_stay(own, shapes, tmp_path):
    without = runner(pair_cfg(own), shapes, tmp_path / 'a')
    expected = draws_of_first_step(without)
    run = runner(pair_cfg(own), shapes, tmp_path / 'b', HOOK)
    draws = draws_of_first_step(run)
    assert torch.equal(draws[0], expected[0]) and draws[1:] == expected[1:]
    assert run.model.student.training and not run.model.teacher.training


def test_floor(own, shapes, tmp_path):
    hook = dict(HOOK, floor=0.9)
    message = 'scores bbox_mAP 0.* on 4 validation images, below the floor of'
    refused(message, runner(pair_cfg(own), shapes, tmp_path, hook))


def test_the_default_floor_stops_a_random_teacher(own, shapes, tmp_path):
    hook = dict(type='kd_det.TeacherCheckHook')
    message = 'on 6 validation images, below the floor'
    refused(message, runner(pair_cfg(own), shapes, tmp_path, hook))


def test_other_metrics(own, shapes, tmp_path):
    hook = dict(HOOK, metric='bbox_mAP_50')
    run = runner(pair_cfg(own), shapes, tmp_path / 'a', hook)
    draws_of_first_step(run)
    hook = dict(HOOK, metric='accuracy')
    message = "no metric ends in 'accuracy'; the evaluator returns .*bbox_mAP"
    refused(message, runner(pair_cfg(own), shapes, tmp_path / 'b', hook))


def test_classes_of_the_teacher(own, shapes, tmp_path):
    classes = (CLASSES[1], CLASSES[0], *CLASSES[2:])
    spec = save_teacher(dict(cfg=own['cfg']), tmp_path / 't.pth', classes)
    message = (
        rf'trained on classes \({classes[0]}, {classes[1]}, .* '
        r'the run has \(circle, square, .* model.classes is \(\); write the'
    )
    refused(message, runner(pair_cfg(spec), shapes, tmp_path, HOOK))


def test_a_teacher_that_does_not_know_its_classes(own, shapes, tmp_path):
    spec = save_teacher(dict(cfg=own['cfg']), tmp_path / 't.pth')
    draws_of_first_step(runner(pair_cfg(spec), shapes, tmp_path, HOOK))


def test_without_validation_data_only_the_classes(own, shapes, tmp_path):
    cfg = run_cfg(pair_cfg(own), shapes, tmp_path)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.custom_hooks = [dict(HOOK, floor=1.1)]
    draws_of_first_step(Runner.from_cfg(cfg))


def test_a_resumed_run_is_not_checked_again(own, shapes, tmp_path):
    first = runner(pair_cfg(own), shapes, tmp_path, train_cfg__max_epochs=1)
    first.train()
    hook = dict(HOOK, floor=1.1)
    run = runner(
        pair_cfg(own),
        shapes,
        tmp_path,
        hook,
        resume=True,
        train_cfg__max_epochs=2,
    )
    assert draws_of_first_step(run)


def test_only_for_a_pair(shapes, tmp_path):
    model = read_spec(tiny_spec(), 'student')[0]
    message = 'TeacherCheckHook is for a DistillModel'
    refused(message, runner(model, shapes, tmp_path, HOOK))


def test_claims_of_mmdetection():
    name = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'
    assert claimed_score(name) == 'box AP 37.4 on COCO'
    assert claimed_score('mmdet::_base_/models/faster-rcnn_r50_fpn.py') == ''
    assert claimed_score('kd_det::nd_frcnn_r101_r18.py') == ''
    assert claimed_score('configs/x.py') == claimed_score('') == ''


def test_a_teacher_that_predicts_no_box_scores_nothing(own, shapes, tmp_path):
    strict = dict(own, test_cfg=dict(rcnn=dict(score_thr=1.0)))
    refused(
        r'scores bbox_mAP 0\.000 .* below the floor',
        runner(pair_cfg(strict), shapes, tmp_path, HOOK | dict(floor=0.01)),
    )


@pytest.fixture
def second(tmp_path):
    """Another folder of shapes, whose image ids are those of the first."""
    folder = tmp_path / 'second'
    return make_shapes(folder, num_train=2, num_val=4, image_size=64, seed=5)


def two_sets(cfg, *folders):
    """Validate on two folders, each by a metric of its own."""
    leaf = cfg.val_dataloader.dataset
    cfg.val_dataloader.dataset = dict(
        type='ConcatDataset',
        datasets=[dict(leaf, data_root=str(folder)) for folder in folders],
    )
    name = 'annotations/instances_val.json'
    cfg.val_evaluator = dict(
        type='MultiDatasetsEvaluator',
        dataset_prefixes=['first', 'second'],
        metrics=[
            dict(type='CocoMetric', metric='bbox', ann_file=f'{folder}/{name}')
            for folder in folders
        ],
    )


def test_two_validation_sets(own, shapes, second, tmp_path):
    """Each scores as it does alone; the worse one is told and stops."""
    scores = []
    for number, folder in enumerate((shapes, second)):
        run = runner(
            pair_cfg(own),
            folder,
            tmp_path / str(number),
            dict(HOOK, num_images=10),
            log_level='INFO',
        )
        draws_of_first_step(run)
        scores += re.findall(r'bbox_mAP (0\.\d+) on', logged(run))
    cfg = run_cfg(pair_cfg(own), shapes, tmp_path / 'both')
    two_sets(cfg, shapes, second)
    cfg.custom_hooks = [dict(HOOK, num_images=10, floor=0.9)]
    cfg.log_level = 'INFO'
    run = Runner.from_cfg(cfg)
    worse = min(scores)
    name = ('first', 'second')[scores.index(worse)]
    refused(f'scores {name}/coco/bbox_mAP {worse} on 10 validation', run)


def test_some_images_of_each_of_two_sets(own, shapes, second, tmp_path):
    cfg = run_cfg(pair_cfg(own), shapes, tmp_path / 'both')
    two_sets(cfg, shapes, second)
    run = Runner.from_cfg(cfg)
    evaluator = run.build_evaluator(cfg.val_evaluator)
    dataset = run.build_dataloader(cfg.val_dataloader).dataset
    for count, sizes in ((1, [1, 2]), (5, [3, 5]), (99, [6, 10])):
        some = some_of(dataset, evaluator, count)
        assert some.metainfo['cumulative_sizes'] == sizes
        score_only(evaluator, some)
        found = [len(metric.img_ids) for metric in evaluator.metrics]
        assert found == [sizes[0], sizes[1] - sizes[0]]


def test_a_run_with_two_validation_sets(own, shapes, second, tmp_path):
    """From the check of the teacher to the record of the run."""
    cfg = run_cfg(pair_cfg(own), shapes, tmp_path / 'run')
    two_sets(cfg, shapes, second)
    cfg.custom_hooks = [HOOK]
    cfg.dump(tmp_path / 'run.py')
    launch.train(launch.prepare(str(tmp_path / 'run.py')), seed=0)
    record = load_record(tmp_path / 'run')
    assert {'first/coco/bbox_mAP', 'second/coco/bbox_mAP'} <= {
        *record['logged']
    }
    assert record['data']['val']['images'] == 10
    assert len(record['data']['val']['annotations']) == 2


def test_training_data_that_differ_in_a_palette(own, shapes, tmp_path):
    """MMDetection's ConcatDataset has a list of metainfo then."""
    cfg = run_cfg(pair_cfg(own), shapes, tmp_path / 'run')
    leaf = cfg.train_dataloader.dataset
    colour = dict(leaf, metainfo=dict(classes=CLASSES, palette=[(1, 2, 3)]))
    cfg.train_dataloader.dataset = dict(
        type='ConcatDataset', datasets=[colour, leaf]
    )
    cfg.custom_hooks = [HOOK]
    hook = dict(type='kd_det.SafeCheckpointHook')
    cfg.default_hooks = dict(checkpoint=hook)
    cfg.dump(tmp_path / 'run.py')
    launch.train(launch.prepare(str(tmp_path / 'run.py')), seed=0)
    state = load_checkpoint(tmp_path / 'run/epoch_1.pth')
    assert state['meta']['dataset_meta']['classes'] == CLASSES
    assert load_record(tmp_path / 'run')['data']['train']['images'] == 24


@pytest.mark.parametrize(
    'wrapper',
    [
        dict(type='RepeatDataset', times=2),
        dict(type='mmpretrain.KFoldDataset', num_splits=2, test_mode=True),
    ],
)
def test_a_wrapped_validation_set(own, shapes, tmp_path, wrapper):
    cfg = run_cfg(pair_cfg(own), shapes, tmp_path, log_level='INFO')
    inner = cfg.val_dataloader.dataset
    cfg.val_dataloader.dataset = dict(wrapper, dataset=inner)
    cfg.custom_hooks = [dict(HOOK, num_images=10)]
    run = Runner.from_cfg(cfg)
    draws_of_first_step(run)
    count = 6 if 'times' in wrapper else 3
    assert f'on {count} validation images' in logged(run)
