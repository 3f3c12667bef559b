"""The wheel, installed outside the repository, does all a user needs.

The environment is a virtual one with the wheel alone in it. A second
installation of torch and MMDetection would take 6 GB, so those of the running
environment are appended to its path. That path is no site folder, so neither
an editable kd_det nor a file ``.pth`` of it counts; a test holds that.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

import kd_det
from kd_det.datasets import SHAPES_CLASSES

ROOT = Path(__file__).parents[1]
# what `git archive` has of them, without caches and builds
SOURCES = (
    *('kd_det', 'configs', 'setup.py', 'pyproject.toml', 'MANIFEST.in'),
    *('constraints.txt', 'model-index.yml', 'README.md', 'CHANGELOG.md'),
    'LICENSE',
)
# PYTHONPATH may name the repository
ENVIRONMENT = {k: v for k, v in os.environ.items() if 'PYTHON' not in k}
PAIR = f"""
_base_ = 'kd_det::detection/nd_frcnn_r50_r18_slim_bccd.py'
data_root = 'shapes'
classes = {SHAPES_CLASSES}
model = dict(
    teacher=dict(
        ckpt='work_dirs/baseline_frcnn_r50_slim_bccd/epoch_1.pth',
        backbone=dict(base_channels=8),
        neck=dict(in_channels=[32, 64, 128, 256]),
    ),
    student=dict(
        backbone=dict(base_channels=8), neck=dict(in_channels=[8, 16, 32, 64])
    ),
    distillers=dict(roi=dict(centroids='means.npz')),
)
train_cfg = dict(max_epochs=1)
"""
TEACHER = 'kd_det::detection/baseline_frcnn_r50_slim_bccd.py'
SMALL = (
    *('--cfg-options', 'data_root=shapes', 'train_cfg.max_epochs=1'),
    f'classes={",".join(SHAPES_CLASSES)}',
    'model.backbone.base_channels=8',
    'model.neck.in_channels=32,64,128,256',
)
STOCK = """
import sys
from mmdet.apis import inference_detector, init_detector
model = init_detector('out/student.py', 'out/student.pth', device='cpu')
found = inference_detector(model, 'shapes/val/000001.png').pred_instances
assert len(found.bboxes) == len(found.scores)
print('kd_det.models' in sys.modules, type(model).__module__)
"""


def start(*words, cwd, code=0):
    """Run a program; return all it prints."""
    done = subprocess.run(
        [*map(str, words)],
        cwd=cwd,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout
    return done.stdout


def build(kind, source):
    """Build an sdist or a wheel as pip does, with setuptools at hand."""
    code = f'from setuptools import build_meta as b; b.build_{kind}("out")'
    start(sys.executable, '-c', code, cwd=source)
    (path,) = (source / 'out').glob('*.whl' if kind == 'wheel' else '*.gz')
    return path


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
    """A copy of what is built, since a build leaves folders behind."""
    tree = tmp_path_factory.mktemp('tree')
    for name in SOURCES:
        if (ROOT / name).is_dir():
            caches = shutil.ignore_patterns('__pycache__')
            shutil.copytree(ROOT / name, tree / name, ignore=caches)
        else:
            shutil.copy(ROOT / name, tree)
    return tree


@pytest.fixture(scope='module')
def wheel(tree):
    return build('wheel', tree)


@pytest.fixture(scope='module')
def bin_folder(wheel, tmp_path_factory):
    """The programs of an environment with the wheel in it."""
    folder = tmp_path_factory.mktemp('installed') / 'venv'
    venv.create(folder)
    binaries = folder / 'bin'
    pip = (sys.executable, '-m', 'pip', '--python', binaries / 'python')
    options = ('--no-deps', '--no-index', '--no-compile', '-q')
    start(*pip, 'install', *options, wheel, cwd=folder)
    (site,) = folder.glob('lib/*/site-packages')
    stack = sysconfig.get_path('purelib')
    (site / 'stack.pth').write_text(f'{stack}\n')
    return binaries


@pytest.fixture(scope='module')
def desk(tmp_path_factory, shapes):
    """An empty folder, but for the data and a config."""
    desk = tmp_path_factory.mktemp('desk')
    (desk / 'shapes').symlink_to(shapes)
    (desk / 'pair.py').write_text(PAIR)
    return desk


def contents(path):
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def test_the_sdist_builds_the_same_wheel(wheel, tree, tmp_path):
    shutil.unpack_archive(build('sdist', tree), tmp_path)
    (source,) = tmp_path.iterdir()
    assert contents(build('wheel', source)) == contents(wheel)


def test_the_wheel_has_every_module_and_config(wheel):
    names = {*contents(wheel)}
    modules = (p.relative_to(ROOT) for p in (ROOT / 'kd_det').rglob('*.py'))
    configs = (p.relative_to(ROOT) for p in (ROOT / 'configs').rglob('*.py'))
    assert {str(path) for path in modules} <= names
    assert {f'kd_det/.mim/{path}' for path in configs} <= names
    assert 'kd_det_ops.pth' in names
    assert not any(name.startswith(('tests', 'tools')) for name in names)


def test_only_the_wheel_is_imported(bin_folder, desk):
    code = 'import kd_det, torch; print(kd_det.__file__, torch.__file__)'
    ours, torch = start(bin_folder / 'python', '-c', code, cwd=desk).split()
    assert Path(ours).is_relative_to(bin_folder.parent)
    assert not Path(torch).is_relative_to(bin_folder.parent)


def test_a_pair_from_data_to_stock_mmdetection(bin_folder, desk):
    command = bin_folder / 'kd_det'
    start(command, 'train', TEACHER, *SMALL, cwd=desk)
    floor = ('--cfg-options', 'custom_hooks.0.floor=0')  # of a teacher's AP
    start(command, 'train', 'pair.py', *floor, cwd=desk)
    assert (desk / 'means.npz').is_file()
    student = 'work_dirs/pair/epoch_1.pth'
    start(command, 'export', 'pair.py', student, 'out', cwd=desk)
    stock = start(bin_folder / 'python', '-c', STOCK, cwd=desk)
    assert stock.split()[-2:] == [
        'False',
        'mmdet.models.detectors.faster_rcnn',
    ]


def test_a_name_that_is_wrong(bin_folder, desk):
    wrong = TEACHER.replace('detection/', '')
    said = start(bin_folder / 'kd_det', 'train', wrong, cwd=desk, code=2)
    assert said == (
        f'error: kd_det has no config {wrong.removeprefix("kd_det::")!r}; '
        f'did you mean {TEACHER!r}?\n'
    )


def test_env_sees_this_environment(bin_folder, desk):
    said = start(bin_folder / 'kd_det', 'env', cwd=desk)
    (package,) = bin_folder.parent.glob('lib/*/site-packages/kd_det')
    assert f'{kd_det.__version__}, {package}\n' in said
    compiled = 'operators          compiled with MMCV'
    ours = 'operators          kd_det on torchvision, in all processes'
    assert compiled in said or ours in said
    assert said.endswith('No problems found.\n')
