"""``kd_det doctor`` on runs that are well, and on runs that are not."""

import json

import ie_toy
import pytest
import share_toy
import torch
from PIL import Image
from tiny import pair_cfg, run_cfg, spare_time, tiny_spec
from torch import nn

from kd_det.cli import main
from kd_det.models.spec import read_spec
from kd_det.registry import MODELS


@pytest.fixture(scope='module', autouse=True)
def fast():
    spare_time()


def doctor(cfg, tmp_path, *words, code=0):
    """Run the command on a config; return its JSON."""
    cfg.dump(tmp_path / 'pair.py')
    out = tmp_path / 'found.json'
    words = [str(tmp_path / 'pair.py'), '--json', str(out), *words]
    if code:
        with pytest.raises(SystemExit) as stopped:
            main('doctor', words)
        assert stopped.value.code == code
    else:
        main('doctor', words)
    return json.loads(out.read_text())


def hooked(model, shapes, tmp_path, **changes):
    cfg = run_cfg(model, shapes, tmp_path / 'run', **changes)
    cfg.custom_hooks = [dict(type='kd_det.TeacherCheckHook', floor=None)]
    return cfg


def test_a_pair_of_detectors(shapes, teacher, tmp_path, capsys):
    cfg = hooked(pair_cfg(teacher), shapes, tmp_path)
    cfg.param_scheduler = dict(type='LinearLR', by_epoch=False, end=500)
    found = doctor(cfg, tmp_path)
    sections = found['sections']
    assert found['healthy']
    assert sections['Data']['images'] == 12
    scores = sections['Teacher']['teacher']['scores']
    assert len(scores) == 2  # at its own image size, and at that of the run
    assert all(0 <= score <= 1 for score in scores)
    classes, score = sections['Teacher']['text'][1:3]
    assert 'in the same order' in classes and 'bbox_mAP' in score
    loss = sections['Distillation']['roi.loss_kd']
    assert loss['type'] == 'KDLoss' and loss['share'] > 0
    assert (
        'roi.loss_kd'
        in sections[f'Step {sections["Costs"]["steps"]}']['losses']
    )
    last = f'Step {sections["Costs"]["steps"]}'
    assert 'LinearLR' in sections[last]['warnings'][0]
    assert sections['Costs']['hours'] > 0
    assert 'No problems found.' in capsys.readouterr().out
    # nothing but the sheet is left in the work dir
    sheet = tmp_path / 'run/doctor.png'
    assert [*(tmp_path / 'run').iterdir()] == [sheet]
    assert Image.open(sheet).size[0] > 600


def test_swapped_classes_are_refused(shapes, teacher, tmp_path, capsys):
    cfg = hooked(pair_cfg(teacher), shapes, tmp_path)
    classes = [*cfg.train_dataloader.dataset.metainfo.classes]
    classes[:2] = classes[1::-1]
    cfg.train_dataloader.dataset.metainfo.classes = classes
    found = doctor(cfg, tmp_path, code=1)
    (problem,) = found['sections']['Data']['problems']
    assert 'different order' in problem and not found['healthy']
    assert f'PROBLEM: {problem}' in capsys.readouterr().out


def test_a_teacher_that_is_refused(shapes, teacher, tmp_path):
    cfg = hooked(pair_cfg(teacher), shapes, tmp_path)
    cfg.custom_hooks[0].floor = 0.9
    found = doctor(cfg, tmp_path, code=1)['sections']
    assert 'below the floor' in found['Start']['problems'][0]
    assert not found['Data']['problems'] and found['Data']['text']


def test_what_a_run_would_refuse(shapes, teacher, tmp_path):
    """The doctor has all checks of ``kd_det train``."""
    cfg = hooked(pair_cfg(teacher), shapes, tmp_path)
    cfg.custom_hooks.append(dict(type='mmdet.MeanTeacherHook'))
    found = doctor(cfg, tmp_path, code=1)['sections']
    assert 'MeanTeacherHook does not work' in found['Start']['problems'][0]


def test_a_loss_that_drowns_the_task(tmp_path):
    losses = dict(loss_kd=dict(type='KDLoss', tau=4.0, loss_weight=500.0))
    root = ie_toy.images(tmp_path / 'data')
    cfg = share_toy.run(tmp_path, root, losses=losses)
    found = doctor(cfg, tmp_path)['sections']['Distillation']
    (warning,) = found['warnings']
    assert 'logit.loss_kd has' in warning and 'kd_det calibrate' in warning
    assert found['logit.loss_kd']['share'] > 2


@MODELS.register_module()
class Drifting(nn.Module):
    """A neck whose buffer changes even in evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer('calls', torch.zeros(()))

    def forward(self, feats):
        self.calls += 1
        return feats


def test_a_teacher_that_does_not_stand_still(tmp_path):
    root = ie_toy.images(tmp_path / 'data')
    cfg = share_toy.run(tmp_path, root, losses=dict(share_toy.LOSSES))
    spec = cfg.model.teacher
    spec.neck = [dict(type='kd_det.Drifting'), spec.neck]
    state = torch.load(spec.ckpt)
    state['state_dict'] = {
        key.replace('neck.', 'neck.1.'): value
        for key, value in state['state_dict'].items()
    }
    state['state_dict']['neck.0.calls'] = torch.zeros(())
    torch.save(state, spec.ckpt)
    found = doctor(cfg, tmp_path, code=1)['sections']['Teacher']
    assert 'calls' in found['problems'][0]


def test_weights_that_diverge(shapes, tmp_path):
    student = read_spec(tiny_spec(), 'student')[0]
    cfg = run_cfg(student, shapes, tmp_path / 'run')
    cfg.optim_wrapper = dict(optimizer=dict(type='SGD', lr=1e30))
    sections = doctor(cfg, tmp_path, code=1)['sections']
    assert 'Distillation' not in sections  # a student alone
    problems = [p for s in sections.values() for p in s['problems']]
    assert 'lower the learning rate' in problems[0]
