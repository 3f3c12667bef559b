"""MMCV finds its operators; a compiled module comes first, nothing is loud."""

import shutil
import subprocess
import sys
from pathlib import Path

import mmcv.ops
import pytest
import torch
from mmcv.utils.ext_loader import check_ops_exist

from kd_det.compat import environment

ROOT = Path(__file__).parents[2]
LINE = ROOT / 'kd_det/compat/kd_det_ops.pth'
COMPILED = hasattr(mmcv._ext, '__file__')


def run(code, *options, cwd=ROOT):
    """Run code in a Python of its own; return what it printed."""
    done = subprocess.run(
        [sys.executable, *options, '-c', code],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_importing_the_package_is_light():
    code = 'import sys, kd_det; print("torch" in sys.modules)'
    assert run(code).strip() == 'False'


def test_it_is_installed_once():
    code = (
        'import sys, kd_det\n'
        'from kd_det.compat.mmcv_finder import OperatorFinder, install\n'
        'install()\n'
        'print(sys.meta_path.count(OperatorFinder),'
        ' sys.meta_path[-1] is OperatorFinder)'
    )
    assert run(code).strip() == '1 True'


def test_a_compiled_module_is_never_hidden(tmp_path):
    """A file mmcv/_ext comes first, also when kd_det is imported before."""
    (tmp_path / '_ext.py').write_text('compiled = True\n')
    code = (
        'import kd_det, mmcv\n'
        f'mmcv.__path__.insert(0, {str(tmp_path)!r})\n'
        'import mmcv._ext\n'
        'print(mmcv._ext.compiled)'
    )
    assert run(code).strip() == 'True'


@pytest.mark.skipif(COMPILED, reason='MMCV was compiled here')
def test_a_program_that_never_imports_kd_det(tmp_path):
    """environment.install() writes the file that Python runs at its start."""
    path = environment.install(tmp_path)
    assert path.name == LINE.name and path.read_bytes() == LINE.read_bytes()
    assert environment.install(tmp_path) == path  # once more does no harm
    code = (
        'import site, sys\n'
        f'sys.path.append({str(ROOT)!r})\n'
        f'site.addsitedir({str(tmp_path)!r})\n'
        'print("torch" in sys.modules)\n'
        'from mmdet.models import RetinaNet\n'
        'from mmcv.ops import nms\n'
        'import torch\n'
        'boxes = torch.tensor([[0.0, 0, 9, 9], [0, 0, 9, 8]])\n'
        'print(nms(boxes, torch.tensor([0.8, 0.9]), 0.5)[1].tolist())'
    )
    assert run(code, '-W', 'ignore', cwd=tmp_path).split() == ['False', '[1]']


def test_the_file_is_silent_where_kd_det_was_removed(tmp_path):
    shutil.copy(LINE, tmp_path)
    code = f'import site; site.addsitedir({str(tmp_path)!r}); print("on")'
    assert run(code, '-I', '-S', cwd=tmp_path) == 'on\n'


def test_mmcv_believes_that_it_has_operators():
    assert check_ops_exist()


@pytest.mark.skipif(COMPILED, reason='MMCV was compiled here')
def test_another_operator_raises_when_it_is_called():
    boxes = torch.zeros(1, 5)
    with pytest.raises(NotImplementedError, match='box_iou_rotated') as error:
        mmcv.ops.box_iou_rotated(boxes, boxes)
    assert 'make setup OPS=compiled' in str(error.value)
    assert not hasattr(mmcv._ext, '__path__')


@pytest.mark.skipif(COMPILED, reason='MMCV was compiled here')
def test_the_log_names_the_operators():
    from mmengine.utils.dl_utils import collect_env

    assert 'kd_det' in mmcv.ops.get_compiler_version()
    assert collect_env()  # it asks MMCV for both
