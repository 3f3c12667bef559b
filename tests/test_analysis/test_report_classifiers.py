"""The report of classifiers, of peers and of a run by plain MMEngine."""

import base64
import io
import json
import re

import ie_toy as toy
import numpy as np
import pytest
from mmengine.runner import Runner
from PIL import Image
from share_toy import run as pair_run
from tiny import spare_time

from kd_det.analysis.report import report
from kd_det.api import launch
from kd_det.evaluation.predictions import FILE as PREDICTIONS
from kd_det.evaluation.predictions import load_predictions

BASELINE = 'baseline_resnet8_short_cifar10'
PEERS = 'iedml_resnet56_resnet20_short_cifar10'


@pytest.fixture(scope='module', autouse=True)
def fast():
    spare_time()


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return toy.images(tmp_path_factory.mktemp('data'), count=12)


def reported(folder, *names):
    page = report([str(folder / n) for n in names], f'{folder}/x.html', 20)
    return json.loads((folder / 'x.json').read_text()), page.read_text()


def test_accuracy_and_images(tmp_path, root):
    """Of the same network for one epoch and for two."""
    for name, epochs in (('short', 1), ('long', 2)):
        cfg = toy.run(
            BASELINE, tmp_path / name, root, train_cfg__max_epochs=epochs
        )
        launch.train(cfg, seed=1)
    found, page = reported(tmp_path, 'short', 'long')
    runs = [
        load_predictions(tmp_path / n / PREDICTIONS) for n in ('short', 'long')
    ]
    total = found['scores']['rows'][0]
    assert total['name'] == 'accuracy'
    for letter, p in zip('AB', runs):
        score = (p.labels == p.true_labels).mean()
        assert total['runs'][letter]['score'] == pytest.approx(score)
    assert 'Accuracy by class' in page
    assert {*found['curves']['scores']} >= {'accuracy/top1'}
    entries = found['disagreement']['images']
    data = re.findall(r'<img src="data:image/jpeg;base64,([^"]*)"', page)
    assert len(entries) == len(data) > 0
    dataset = launch.prepare(str(tmp_path / f'short/{BASELINE}.py'))
    dataset = Runner.build_dataloader(dataset.val_dataloader).dataset
    names = runs[0].classes
    for entry, text in zip(entries, data):
        place = entry['place']
        assert entry['truth'] == names[runs[0].true_labels[place]]
        for letter, p in zip('AB', runs):
            assert entry['runs'][letter] == names[p.labels[place]]
        image = Image.open(io.BytesIO(base64.b64decode(text)))
        pixels = np.asarray(image, float)
        shown = dataset.get_data_info(place)['img']
        assert np.abs(pixels - shown).mean() < np.abs(shown - 127.0).mean()
    rows = {row['name']: row['values'] for row in found['differences']}
    assert rows['train_cfg.max_epochs'] == dict(A='1', B='2')
    assert not [name for name in rows if name.startswith('model.')]


def test_a_pair_of_classifiers(tmp_path, root):
    cfg = pair_run(tmp_path, root, changes=dict(train_cfg__max_epochs=1))
    launch.train(cfg, seed=0)
    found, page = reported(tmp_path, 'run')
    assert 'logit.kd_grad_share' in found['curves']['gradients']
    assert {*found['step_seconds']['A']} >= {'teacher', 'losses'}
    # there was no validation
    assert found['scores'] is None and found['disagreement'] is None
    gaps = {gap['what']: gap['why'] for gap in found['missing']}
    assert gaps['curve of the score'] == 'no validation is logged'
    assert 'there is no predictions.npz' in gaps['scores by class, images']


def test_peers(tmp_path, root):
    cfg = toy.run(PEERS, tmp_path / 'run', root, train_cfg__max_epochs=1)
    cfg.model.peers = dict(
        resnet20=toy.network(), resnet56=toy.network((4, 4, 8, 12), 14)
    )
    cfg.model.distillers.factor.channels = 4
    cfg.model.distillers.factor.split = dict(order='random')
    launch.train(cfg, seed=0)
    found, _ = reported(tmp_path, 'run')
    assert 'resnet20.factor.loss_exp' in found['curves']['losses']
    assert {'accuracy/top1', 'resnet56/accuracy/top1'} <= {
        *found['curves']['scores']
    }
    seconds = found['step_seconds']['A']
    assert 'teacher' not in seconds and min(seconds.values()) > 0


def test_a_run_by_plain_mmengine(tmp_path, root):
    """It has a log and a config, no record."""
    cfg = toy.run(BASELINE, tmp_path / 'run', root, train_cfg__max_epochs=1)
    Runner.from_cfg(cfg).train()
    found, page = reported(tmp_path, 'run')
    gaps = {gap['what']: gap for gap in found['missing']}
    named = 'what the run was: seed, versions, data, time'
    assert 'RunRecordHook' in gaps[named]['fix']
    assert 'StepTimeHook' in gaps['time of the parts of a step']['fix']
    assert found['curves']['losses']['loss']['A']
    assert found['curves']['scores']['accuracy/top1']['A'][0][0] == 1
    assert 'What was not recorded' in page
