"""What a run hands to TensorBoard and MLflow, read back by their readers."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny import pair_cfg, run_cfg

from kd_det.api import launch
from kd_det.cli import main

ROOT = Path(__file__).parents[2]
PACKAGES = dict(TensorboardVisBackend='tensorboard', MLflowVisBackend='mlflow')


def child(folder, teacher, shapes, backend):
    """The file of a run with one backend more, as in the guide."""
    cfg = run_cfg(pair_cfg(teacher), shapes, folder / 'run')
    for name in ('default_scope', 'log_level'):  # the runtime has them
        cfg.pop(name)
    cfg.dump(folder / 'data.py')
    runtime = ROOT / 'configs/_base_/default_runtime.py'
    (folder / 'pair.py').write_text(
        f"""_base_ = ['./data.py', {str(runtime)!r}]
default_hooks = dict(logger=dict(interval=1))
custom_hooks = [
    *_base_.custom_hooks,
    dict(type='kd_det.GradientShareHook', steps=(1, 3)),
]
"""
    )
    (folder / 'child.py').write_text(
        f"""_base_ = './pair.py'
vis_backends = [dict(type='LocalVisBackend'), dict(type={backend!r})]
"""
    )
    return folder / 'child.py'


def of_tensorboard(folder):
    from tensorboard.backend.event_processing.event_accumulator import (
        EventAccumulator,
    )

    events = EventAccumulator(str(folder))
    events.Reload()
    return {
        tag: [(e.step, e.value) for e in events.Scalars(tag)]
        for tag in events.Tags()['scalars']
    }


def of_mlflow(folder):
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f'file://{folder}')
    experiments = [e.experiment_id for e in client.search_experiments()]
    (run,) = client.search_runs(experiments)
    return {
        key: [
            (m.step, m.value)
            for m in client.get_metric_history(run.info.run_id, key)
        ]
        for key in run.data.metrics
    }


@pytest.mark.parametrize(
    ('backend', 'read'),
    [
        ('TensorboardVisBackend', of_tensorboard),
        ('MLflowVisBackend', of_mlflow),
    ],
)
def test_a_tracker_has_what_scalars_json_has(
    backend, read, shapes, teacher, tmp_path, monkeypatch
):
    pytest.importorskip(PACKAGES[backend])
    monkeypatch.setenv('MLFLOW_ALLOW_FILE_STORE', 'true')
    path = child(tmp_path, teacher, shapes, backend)
    cfg = launch.prepare(str(path))
    launch.train(cfg, seed=0)
    (log,) = tmp_path.glob('run/*/vis_data/scalars.json')
    tracked = read(log.parent)
    expected = {}
    for line in log.read_text().splitlines():
        entry = json.loads(line)
        step = entry.pop('step')
        for key, value in entry.items():
            expected.setdefault(key, []).append((step, value))
    assert expected.keys() == tracked.keys()
    for key, pairs in expected.items():
        # float32 in an event file, and one line may come twice
        ours, theirs = np.array(sorted(pairs)), np.array(sorted(tracked[key]))
        np.testing.assert_allclose(theirs, ours, rtol=1e-6, err_msg=key)
    assert [step for step, _ in expected['roi.loss_kd']] == [1, 2, 3, 4, 5, 6]
    for key in ('loss', 'roi.kd_grad_share', 'coco/bbox_mAP'):
        assert tracked[key], key


def test_a_package_that_is_missing_is_named(
    shapes, teacher, tmp_path, monkeypatch, capsys
):
    path = child(tmp_path, teacher, shapes, 'TensorboardVisBackend')
    monkeypatch.delitem(sys.modules, 'torch.utils.tensorboard', raising=False)
    monkeypatch.setitem(sys.modules, 'tensorboard', None)
    with pytest.raises(SystemExit) as end:
        main('train', [str(path)])
    assert end.value.code == 2
    stderr = capsys.readouterr().err
    assert stderr.splitlines()[-1].endswith(
        'vis_backends of the config has a TensorboardVisBackend, which needs '
        "the package 'tensorboard'; install it, or take the backend out."
    )
    assert 'Traceback' not in stderr
