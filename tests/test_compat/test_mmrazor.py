"""The import of mmrazor: when it is named, once, and nothing else."""

import subprocess
import sys

import pytest
import torch
from mmengine.runner.checkpoint import get_state_dict
from razor import mmrazor_cfg, shipped_distiller
from tiny import build, pair_cfg, run_cfg, tiny_spec

from kd_det.api import launch
from kd_det.checkpoint import load_checkpoint
from kd_det.compat import mmrazor as bridge
from kd_det.errors import UserError
from kd_det.models.teacher import load_exactly

FRESH = """
import sys, time, torch
import kd_det.registry
import mmcv, mmengine, mmdet.models, mmpretrain.models
from mmengine.registry import DefaultScope, MODELS as ROOT
from kd_det.compat import mmrazor as bridge
from kd_det.config import load_config
from kd_det.errors import UserError
from kd_det.losses import DistillLoss, MMRazorLoss
from kd_det.registry import MODELS, build_part

def seen():
    return {n: (m, m.__dict__.get('__version__'))
            for n, m in list(sys.modules.items()) if m is not None}

def classes():
    return {c: dict(vars(c)) for n, (m, _) in seen().items()
            if n.split('.')[0] in ('torch', 'mmcv', 'mmengine', 'mmdet')
            for c in vars(m).values() if type(c) is type}

build_part('loss', dict(type='kd_det.KDLoss'), DistillLoss)
load_config('without.py')
assert not any(name.startswith('mmrazor') for name in sys.modules)

sys.modules['mmrazor'] = None  # as if it was not installed
for _ in range(2):
    try:
        MMRazorLoss('loss_x', dict(type='mmrazor.PKDLoss'))
    except UserError as error:
        assert "pip install 'mmrazor==1.0.0' joblib." in str(error)
        assert '. ' not in str(error)
    else:
        raise AssertionError('there is no mmrazor')
del sys.modules['mmrazor']

limit = sys.getrecursionlimit()
before, path, kept = seen(), [*sys.path], classes()
scope = DefaultScope.get_current_instance()
kinds = {k: dict(r.module_dict) for k, r in ROOT.children.items()}
random = torch.get_rng_state()
load_config('with.py')
after = seen()
assert sys.getrecursionlimit() == limit
assert 'mmrazor.models' in after and 'mmrazor.engine' in after
changed = [n for n in before if after.get(n) != before[n]]
assert not changed, changed
assert mmcv.__version__ == before['mmcv'][1] != bridge.ACCEPTED_MMCV
assert not [n for n in bridge.QUANTISATION if n in sys.modules]
assert sys.path == path
patched = [c for c, was in kept.items() if dict(vars(c)) != was]
assert not patched, patched
assert DefaultScope.get_current_instance() is scope
assert torch.equal(random, torch.get_rng_state())
for name, table in kinds.items():
    assert dict(ROOT.children[name].module_dict) == table, name

start = time.perf_counter()
bridge.ensure_importable()
assert time.perf_counter() - start < 0.001
assert seen() == after
assert MODELS.get('mmrazor.PKDLoss').__module__.startswith('mmrazor.')

try:
    sys.modules['mmrazor.models'].MMArchitectureQuant()
except UserError as error:
    assert 'quantisation' in str(error)
else:
    raise AssertionError('quantisation is absent')
"""


def test_import_in_a_fresh_interpreter(tmp_path):
    """Only where it is named; all else is as before; then it is free."""
    (tmp_path / 'without.py').write_text("model = dict(type='X')")
    (tmp_path / 'with.py').write_text(
        "model = dict(type='X')\n"
        "custom_hooks = [dict(type='mmrazor.StopDistillHook')]"
    )
    subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', FRESH], cwd=tmp_path, check=True
    )


def test_a_dependency_that_is_missing(monkeypatch):
    bridge.ensure_importable()
    monkeypatch.setitem(sys.modules, 'mmrazor.utils.setup_env', None)
    version = sys.modules['mmcv'].__version__
    with pytest.raises(UserError, match='setup_env.*pip install') as caught:
        bridge.ensure_importable.__wrapped__()
    assert str(caught.value).count('. ') == 0
    assert sys.modules['mmcv'].__version__ == version
    assert not [n for n in bridge.QUANTISATION if n in sys.modules]


@pytest.mark.parametrize(
    ('node', 'named'),
    [
        (dict(type='mmrazor.PKDLoss'), True),
        (dict(a=[dict(b=(dict(type='mmrazor.PKDLoss'),))]), True),
        (dict(model=dict(_scope_='mmrazor', type='PKDLoss')), True),
        (dict(type='PKDLoss', text='mmrazor.PKDLoss'), False),
        (dict(type=dict, cfg='mmrazor::x.py'), False),
        ('mmrazor.PKDLoss', False),
    ],
)
def test_what_names_mmrazor(node, named):
    assert bridge.is_named(node) is named


def test_train_in_mmrazor_and_load_what_it_saves(teacher, shapes, tmp_path):
    """A whole run by kd_det's tools; its student and its teacher load."""
    distiller = shipped_distiller()
    maps = distiller['loss_forward_mappings']['loss_pkd_fpn0']
    maps['preds_S']['connector'] = 'same'
    conv = dict(type='ConvModuleConnector', in_channel=16, out_channel=16)
    distiller['connectors'] = dict(same=conv)
    model = mmrazor_cfg(tiny_spec(), teacher, distiller, 'FpnTeacherDistill')
    cfg = run_cfg(model, shapes, tmp_path / 'run')
    cfg.val_cfg = dict(type='mmrazor.SingleTeacherDistillValLoop')
    cfg.dump(tmp_path / 'mmrazor.py')
    launch.train(launch.prepare(str(tmp_path / 'mmrazor.py')))

    path = str(tmp_path / 'run/epoch_1.pth')
    checkpoint = load_checkpoint(path)
    state = checkpoint['state_dict']
    assert any(key.startswith('distiller.connectors.same.') for key in state)
    pair = build(pair_cfg(dict(teacher, ckpt=path, keys='mmrazor_teacher')))
    plain = build(pair_cfg(dict(teacher)))
    for key, value in plain.teacher.model.state_dict().items():
        assert torch.equal(pair.teacher.model.state_dict()[key], value), key
    # of two networks of different shapes it is plain which one is meant
    taken = load_exactly(pair.student, checkpoint, path, 'student')
    assert taken.entry == 'state_dict.architecture.'

    student = run_cfg(pair_cfg(teacher), shapes, tmp_path / 'student')
    student.dump(tmp_path / 'student.py')
    student = launch.prepare(str(tmp_path / 'student.py'))
    runner = launch.tester(student, path, keys='mmrazor')
    for key, value in get_state_dict(runner.model).items():
        assert torch.equal(value, state[f'architecture.{key}']), key


def test_a_checkpoint_without_the_network_that_is_asked_for(teacher, tmp_path):
    state = load_checkpoint(teacher['ckpt'])['state_dict']
    state = {f'architecture.{key}': value for key, value in state.items()}
    path = str(tmp_path / 'student.pth')
    torch.save(dict(state_dict=state), path)
    with pytest.raises(UserError, match='keys missing'):
        build(pair_cfg(dict(teacher, ckpt=path, keys='mmrazor_teacher')))
    build(pair_cfg(dict(teacher, ckpt=path, keys='mmrazor')))
