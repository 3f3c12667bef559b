"""The shapes with changed annotations, checked as before a run."""

import json

import pytest
from mmengine.registry import init_default_scope
from tiny import other_annotations, run_cfg

from kd_det.errors import UserError
from kd_det.preflight.data import check_data


@pytest.fixture
def check(shapes, tmp_path):
    """Check the shapes with changed annotations or a changed data set.

    Both files are changed, the reports of the splits are returned.
    """
    init_default_scope('mmdet')
    folder = other_annotations(shapes, tmp_path / 'data', lambda table: None)

    def run(change=lambda table: None, splits=('train',), **dataset):
        for split in ('train', 'val'):
            path = folder / f'annotations/instances_{split}.json'
            table = json.loads(path.read_text())
            change(table)
            path.write_text(json.dumps(table))
        cfg = run_cfg({}, folder, '')
        for split in splits:
            cfg[f'{split}_dataloader'].dataset.update(dataset)
        if 'val' in splits and 'ann_file' in dataset:
            cfg.val_evaluator.ann_file = str(folder / dataset['ann_file'])
        return check_data(cfg, splits)

    return run


@pytest.fixture
def refused(check):
    """Return the one sentence by which a check stops."""

    def run(*args, kind=UserError, **kwargs):
        with pytest.raises(kind) as caught:
            check(*args, **kwargs)
        message = str(caught.value)
        assert '\n' not in message
        return message

    return run
