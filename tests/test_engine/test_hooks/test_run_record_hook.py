"""run.json and predictions.npz of real trainings."""

import json
import subprocess
from hashlib import sha256

import numpy as np
import pytest
import torch
from coco_toy import toy_predictions
from ie_toy import images
from ie_toy import run as classifier_run
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from pycocotools.coco import COCO
from tiny import CLASSES, pair_cfg, run_cfg

import kd_det
from kd_det.analysis.compare_runs import compare_runs
from kd_det.api import launch
from kd_det.cli import main
from kd_det.engine.hooks.run_record_hook import boxes_of, sample_of
from kd_det.engine.run_facts import commit
from kd_det.engine.run_record import load_record
from kd_det.evaluation.coco_ap import coco_scores
from kd_det.evaluation.predictions import FILE as PREDICTIONS
from kd_det.evaluation.predictions import load_predictions
from kd_det.registry import METRICS


@pytest.fixture(scope='module')
def run(teacher, shapes, tmp_path_factory):
    """The work dir of a pair that was trained for two epochs."""
    folder = tmp_path_factory.mktemp('record')
    cfg = run_cfg(pair_cfg(teacher), shapes, folder / 'run')
    cfg.dump(folder / 'kd_tiny.py')
    options = {'train_cfg.max_epochs': 2, 'optim_wrapper.optimizer.lr': 0.001}
    cfg = launch.prepare(str(folder / 'kd_tiny.py'), options=options)
    launch.train(cfg, seed=5)
    return folder / 'run'


def test_what_the_run_was(run, teacher, shapes):
    record = load_record(run)
    assert record['config'] == 'kd_tiny'
    assert record['options'] == {
        'train_cfg.max_epochs': 2,
        'optim_wrapper.optimizer.lr': 0.001,
    }
    assert record['seed'] == 5
    assert record['epochs'] == record['validated_epoch'] == 2
    assert record['iterations'] == 12
    assert record['versions']['torch'] == torch.__version__
    assert record['versions']['kd_det'] == kd_det.__version__
    assert {'mmdet', 'mmengine', 'mmcv'} < {*record['versions']}
    assert 0 < record['minutes'] < 10
    assert record['processor_minutes'] > 0
    for split, count in (('train', 12), ('val', 6)):
        data = record['data'][split]
        assert data['images'] == count
        name = f'instances_{split}.json'
        content = (shapes / 'annotations' / name).read_bytes()
        assert data['annotations'] == {name: sha256(content).hexdigest()}
        sizes = sorted(
            f'{path.name} {path.stat().st_size}\n'
            for path in (shapes / split).iterdir()
        )
        digest = sha256(''.join(sizes).encode()).hexdigest()
        assert data['images_sha256'] == digest
    with open(teacher['ckpt'], 'rb') as file:
        digest = sha256(file.read()).hexdigest()
    assert record['initial_weights'] == dict(teacher={'teacher.pth': digest})


def test_the_scores_are_those_of_the_validation(run, shapes):
    record = load_record(run)
    logged = record['logged']
    names = dict(
        mAP='mAP',
        AP50='mAP_50',
        AP75='mAP_75',
        AP_small='mAP_s',
        AP_medium='mAP_m',
        AP_large='mAP_l',
    )
    for ours, theirs in names.items():
        score = record['metrics'][ours]
        rounded = -1 if score is None else round(score, 3)
        assert rounded == logged[f'coco/bbox_{theirs}']
    predictions = load_predictions(run / PREDICTIONS)
    metrics, by_class = coco_scores(predictions)
    assert metrics == record['metrics']
    assert by_class == record['class_ap']
    assert [*by_class] == [*CLASSES]
    coco = COCO(shapes / 'annotations/instances_val.json')
    assert predictions.image_ids.tolist() == sorted(coco.imgs)
    assert len(predictions.true_boxes) == len(coco.anns) > 0
    assert len(predictions.boxes) > 0


def test_the_means_of_the_last_epoch(run):
    hub = torch.load(run / 'epoch_2.pth', weights_only=False)['message_hub']
    trained = load_record(run)['trained']
    for name in ('loss', 'loss_rpn_bbox', 'acc'):
        values = hub['log_scalars'][f'train/{name}'].data[0]
        assert len(values) == 12  # two epochs
        assert trained[name] == pytest.approx(values[-6:].mean())
    assert not {'lr', 'time', 'data_time', 'memory'} & {*trained}


def test_boxes_of_mmdets_metric(tmp_path):
    """Ids with gaps, and a category that is none of the classes."""
    toy = toy_predictions(num_images=8)
    p, names = toy, [*toy.classes]
    annotations = [
        dict(
            id=index + 1,
            image_id=int(p.image_ids[p.true_images[index]]),
            category_id=50 + 2 * int(p.true_labels[index]),
            bbox=[float(x) for x in p.true_boxes[index]],
            area=float(p.true_areas[index]),
            iscrowd=int(p.crowds[index]),
        )
        for index in range(len(p.true_labels))
    ]
    categories = [
        dict(id=50 + 2 * k, name=str(n)) for k, n in enumerate(names)
    ]
    # and what nobody asks for
    categories.insert(1, dict(id=51, name='bat'))
    annotations.append(dict(annotations[0], id=999, category_id=51))
    coco = dict(
        images=[dict(id=int(i)) for i in p.image_ids],
        annotations=annotations,
        categories=categories,
    )
    file = tmp_path / 'val.json'
    file.write_text(json.dumps(coco))
    metric = METRICS.build(
        dict(type='mmdet.CocoMetric', ann_file=str(file), classwise=True)
    )
    metric.dataset_meta = dict(classes=tuple(map(str, names)))
    samples = []
    for image, number in enumerate(p.image_ids):
        own = p.images == image
        sample = DetDataSample(
            metainfo=dict(img_id=int(number), ori_shape=(400, 400))
        )
        sample.pred_instances = InstanceData(
            bboxes=torch.from_numpy(p.boxes[own]),
            scores=torch.from_numpy(p.scores[own]),
            labels=torch.from_numpy(p.labels[own]).long(),
        )
        samples.append(sample)
    metric.process({}, [sample.to_dict() for sample in samples])
    logged = metric.evaluate(len(samples))
    found = boxes_of(metric, [sample_of(sample) for sample in samples])
    metrics, by_class = coco_scores(found)
    assert metrics['mAP'] > 0.1
    assert round(metrics['mAP'], 3) == logged['coco/bbox_mAP']
    assert round(metrics['AP_medium'], 3) == logged['coco/bbox_mAP_m']
    assert [*by_class] == names
    for name, score in by_class.items():
        theirs = logged[f'coco/{name}_precision']
        if score is None:
            assert np.isnan(theirs)
        else:
            assert round(score, 3) == theirs
    assert found.same_truth(boxes_of(metric, [sample_of(samples[0])]))


def test_classifiers(tmp_path, capsys):
    """Two trainings, and the command that compares them."""
    root = images(tmp_path, count=12)
    for name, epochs in (('short', 1), ('long', 2)):
        cfg = classifier_run(
            'baseline_resnet8_short_cifar10',
            tmp_path / name,
            root,
            train_cfg__max_epochs=epochs,
        )
        launch.train(cfg, seed=1)
        record = load_record(tmp_path / name)
        assert record['config'] == 'baseline_resnet8_short_cifar10'
        accuracy = record['metrics']['accuracy']
        logged = record['logged']['accuracy/top1']
        assert logged == pytest.approx(100 * accuracy, abs=1e-4)
        assert record['data']['train']['images'] == 60
        # one batch an epoch, of which the log shows the mean
        assert 0 <= record['trained']['accuracy_top-1'] <= 100
        assert record['data']['train']['images_sha256'] is None
    capsys.readouterr()
    main(argv=['compare', str(tmp_path / 'short'), str(tmp_path / 'long')])
    text = capsys.readouterr().out
    assert '12 validation images' in text
    assert 'Trained for different numbers of epochs: 1, 2.' in text
    assert f'{100 * accuracy:.2f}' in text


def test_a_resume_goes_on_with_the_clock(run, tmp_path, shapes, teacher):
    before = load_record(run)
    checkpoint = torch.load(run / 'epoch_2.pth', weights_only=False)
    checkpoint['run_time'] = dict(minutes=100.0, processor_minutes=200.0)
    torch.save(checkpoint, tmp_path / 'epoch_2.pth')
    cfg = launch.prepare(
        str(run / 'kd_tiny.py'),  # as the first run dumped it
        work_dir=str(tmp_path / 'more'),
        options={'train_cfg.max_epochs': 3},
    )
    launch.train(cfg, resume=str(tmp_path / 'epoch_2.pth'), seed=5)
    record = load_record(tmp_path / 'more')
    assert record['epochs'] == 3
    assert 100 < record['minutes'] < 110
    assert 200 < record['processor_minutes'] < 220
    assert record['data'] == before['data']
    assert record['options'] == {
        **before['options'],
        'train_cfg.max_epochs': 3,
    }
    text = compare_runs([str(run)], [str(tmp_path / 'more')], resamples=3)
    assert '6 validation images' in text
    # a run that has ended, resumed: its record stays
    written = (run / 'run.json').read_bytes()
    launch.train(launch.prepare(str(run / 'kd_tiny.py')), resume='auto')
    assert (run / 'run.json').read_bytes() == written


def test_the_commit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('GIT_CEILING_DIRECTORIES', str(tmp_path.parent))
    assert commit() is None

    def git(*words):
        user = ['-c', 'user.name=a', '-c', 'user.email=a@example.org']
        command = ['git', *user, *words]
        done = subprocess.run(command, check=True, capture_output=True)
        return done.stdout.decode().strip()

    git('init')
    (tmp_path / 'file').write_text('one')
    git('add', 'file')
    git('commit', '-m', 'first')
    head = git('rev-parse', 'HEAD')
    (tmp_path / 'untracked').write_text('')
    assert commit() == head
    (tmp_path / 'file').write_text('two')
    assert commit() == f'{head}+changes'
