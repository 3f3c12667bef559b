"""What a run's log says of a pair before the first step."""

import time

import pytest
import torch
from tiny import CLASSES, KD, ND, build, pair_cfg, run_cfg, tiny_spec

from kd_det.api import launch
from kd_det.preflight.data_report import DataReport
from kd_det.preflight.summary import summary


def test_a_pair_of_detectors(teacher, bank):
    data = DataReport('train', 'a.json', {'images': 1200, 'left out': 3})
    began = time.perf_counter()
    cfg = dict(pair_cfg(teacher, {**KD, **ND}, bank), classes=CLASSES)
    model = build(cfg)
    built = time.perf_counter() - began
    assert summary(model, [data]) == [
        f'teacher: {teacher["ckpt"]}',
        f'  the classes of the run ({len(CLASSES)}), in the same order',
        'roi: RoIDistiller, the box head on the RoIs, 32 and 32 wide',
        '  loss_kd: KDLoss, weight 1',
        '  loss_nd: NDLoss, weight 1',
        'train data: 1,200 images, 3 left out',
    ]
    assert time.perf_counter() - began < built + 1


def test_other_classes_and_other_places(teacher, tmp_path):
    """How a file was read, whose classes it has; a loss's own weight."""
    file = torch.load(teacher['ckpt'], weights_only=False)
    path = tmp_path / 'nested.pth'
    torch.save(dict(meta=file['meta'], nets=dict(a=file['state_dict'])), path)
    losses = dict(loss_kd=dict(type='KDLoss', loss_weight=0.25))
    student = tiny_spec(num_classes=2)
    cfg = pair_cfg(dict(teacher, ckpt=str(path)), losses, student=student)
    lines = summary(build(dict(cfg, classes=(CLASSES[1], 'bird'))), [])
    assert lines[:2] == [
        f"teacher: {path}; its weights are those under 'nets.a'",
        f'  knows 1 of the 2 classes of the run, not bird; {len(CLASSES) - 1} '
        'of its own are not used',
    ]
    assert lines[-1] == '  loss_kd: KDLoss, weight 0.25'


@pytest.mark.parametrize('pair', [True, False])
def test_it_is_in_the_log(shapes, teacher, tmp_path, said, pair):
    model = pair_cfg(teacher) if pair else tiny_spec()
    model = model if pair else launch.read_spec(model, 'student')[0]
    cfg = run_cfg(model, shapes, tmp_path / 'run', log_level='INFO')
    cfg.dump(tmp_path / 'a.py')
    launch.train(launch.prepare(str(tmp_path / 'a.py')))
    text = (tmp_path / 'run').glob('*/*.log').__next__().read_text()
    assert ('This run:\n  teacher: ' in text) == pair
    assert not pair or '\n  train data: 12 images' in text
