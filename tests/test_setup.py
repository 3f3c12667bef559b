"""The set-up script, driven by a Python that notes what pip is asked for."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONSTRAINTS = (ROOT / 'constraints.txt').read_text()

# Makes an environment that holds only this script itself.  A failure that a
# test wants is in the file `fails`: a part of the command, then the output.
PYTHON = f"""#!/usr/bin/env bash
here={{here}}
echo "$*" >>$here/calls
if [ -e $here/fails ] && [[ "$*" == *"$(head -n 1 $here/fails)"* ]]; then
    tail -n +2 $here/fails
    exit 1
fi
if [ -n "$PIP_DRY_RUN" ] && [[ "$*" == "-m pip install"* ]]; then
    exec {sys.executable} "$@"
fi
last=${{{{!#}}}} before=${{{{@:(-2):1}}}}
case "$*" in
"-m venv "*)
    mkdir -p "$last/bin"
    touch "$last/pyvenv.cfg"
    cp "$0" "$last/bin/python" ;;
"-m pip download"*) # ... folder name==version
    tar -czf "$before/onedl_mmcv-${{{{last##*=}}}}.tar.gz" -C $here/sdist . ;;
"-m pip wheel"*) # ... folder source
    mkdir -p "$before"
    cp "$last/setup.py" "$before/${{{{last##*/}}}}-py3.whl" ;;
"-m pip list"*) printf 'torch==9.9\\ntorchvision==8.8\\n' ;;
*"import torch"*CUDA_HOME*) echo cp311-9.9 ;;
-m* | *"import torch"* | "-c import cv2"* | - | tools/demo.py) ;;
*) exec {sys.executable} "$@" ;;
esac
"""


class Desk:
    """A copy of the files that set-up reads, and a place for what it makes."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.venv = folder / 'venv'
        for name in ('tools', 'Makefile', 'constraints.txt', 'setup.py'):
            copy = shutil.copytree if name == 'tools' else shutil.copy
            copy(ROOT / name, folder / name)
        self.command('python', PYTHON.format(here=folder))
        self.command('df', 'echo head; echo disk 9 9 99000000')

    def command(self, name: str, script: str) -> None:
        """Put a command before all others."""
        path = self.folder / 'bin' / name
        path.parent.mkdir(exist_ok=True)
        if not script.startswith('#!'):
            script = f'#!/usr/bin/env bash\n{script}\n'
        path.write_text(script)
        path.chmod(0o755)

    def setup(
        self, *arguments: str, **variables: str
    ) -> subprocess.CompletedProcess:
        """Run `make setup`, or make with other arguments."""
        path = f'{self.folder / "bin"}{os.pathsep}{os.environ["PATH"]}'
        env = {k: os.environ[k] for k in ('HOME',) if k in os.environ}
        env |= {'PATH': path, 'PYTHON': str(self.folder / 'bin/python')}
        env |= {'VENV': self.venv.name, 'WHEELS': str(self.folder / 'wheels')}
        (self.folder / 'calls').write_text('')
        return subprocess.run(
            ['make', '--no-print-directory', *(arguments or ['setup'])],
            cwd=self.folder,
            env=env | variables,
            capture_output=True,
            text=True,
        )

    def pip(self) -> list[str]:
        """What pip was asked for in the last run, versions aside."""
        calls = re.findall(
            r'^-m pip ((?:un)?install|wheel) (.*)$',
            (self.folder / 'calls').read_text(),
            re.M,
        )
        return [f'{verb} {rest}' for verb, rest in calls]


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


def refused(run: subprocess.CompletedProcess) -> str:
    """The one sentence of a run that failed."""
    assert run.returncode
    lines = [line for line in run.stderr.splitlines() if 'make:' not in line]
    assert len(lines) == 1, run.stderr
    return lines[0]


def finished(run: subprocess.CompletedProcess) -> str:
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_four_stages_and_then_nothing_to_do(desk):
    out = finished(desk.setup())
    assert re.findall(r'^\[(\d)/4\]', out, re.M) == ['1', '2', '3', '4']
    everything, cv2 = desk.pip()
    assert everything == 'install -c constraints.txt -e .[dev]'
    assert cv2.endswith('opencv-python-headless')
    calls = (desk.folder / 'calls').read_text()
    assert '-m kd_det.compat.environment' in calls
    assert not (desk.venv / 'tmp').exists()

    assert 'up to date' in finished(desk.setup())
    assert desk.pip() == []


def test_an_empty_venv_is_the_default_one(desk):
    finished(desk.setup('demo', 'VENV='))
    assert (desk.folder / '.venv/kd_det.stamp').exists()
    assert 'tools/demo.py' in (desk.folder / 'calls').read_text()


@pytest.mark.parametrize('venv', ['venv', 'my [venv]'])
def test_a_new_pin_renews_the_environment(desk, venv):
    desk.venv = desk.folder / venv
    finished(desk.setup())
    with (desk.folder / 'constraints.txt').open('a') as file:
        file.write('another==1.0\n')
    # what an older set-up compiled, for another torch
    ops = desk.venv / 'lib/python3.11/site-packages/mmcv/_ext.cpython.so'
    ops.parent.mkdir(parents=True)
    ops.touch()
    finished(desk.setup())
    assert desk.pip()[0] == 'install -c constraints.txt -e .[dev]'
    mmcv = re.search('^onedl-mmcv==.*', CONSTRAINTS, re.M)[0]
    assert desk.pip()[-1].startswith('install --no-deps --no-cache-dir')
    assert desk.pip()[-1].endswith(mmcv)


def test_an_interrupted_setup_goes_on(desk):
    (desk.folder / 'fails').write_text('-m pip install -c\nKilled\n')
    run = desk.setup()
    assert run.returncode
    assert 'Killed' in run.stderr and 'goes on from here' in run.stderr
    (desk.folder / 'fails').unlink()
    finished(desk.setup())
    assert '-m venv' not in (desk.folder / 'calls').read_text()


def test_another_torch(desk):
    finished(desk.setup(TORCH='torch==9.9 --index-url there'))
    torch, rest, _ = desk.pip()
    assert torch.startswith('install --force-reinstall torch==9.9 --index-url')
    assert torch.endswith(' there torchvision')
    assert rest == 'install -c venv/constraints.txt -e .[dev]'
    pins = (desk.venv / 'constraints.txt').read_text().splitlines()
    assert {'torch==9.9', 'torchvision==8.8'} < set(pins)
    assert f'numpy=={re.search("^numpy==(.*)", CONSTRAINTS, re.M)[1]}' in pins
    assert not [p for p in pins if p.startswith(('nvidia-', 'cuda-'))]


def test_another_build_of_torch_replaces_the_old_one_in_one_step(desk):
    finished(desk.setup(TORCH='torch==9.9'))
    (desk.folder / 'fails').write_text('--force-reinstall torch\nno index\n')
    for _ in range(2):  # the second one still knows what is installed
        assert desk.setup().returncode
        (torch,) = desk.pip()
        assert torch == (
            'install --force-reinstall torch torchvision -c constraints.txt'
        )
    (desk.folder / 'fails').unlink()
    finished(desk.setup())
    assert desk.pip()[1] == 'install -c constraints.txt -e .[dev]'
    with (desk.folder / 'constraints.txt').open('a') as file:
        file.write('another==1.0\n')
    finished(desk.setup())
    assert desk.pip()[0] == 'install -c constraints.txt -e .[dev]'


# The wheel of an earlier set-up, so that nothing is compiled.
def shelve(desk: Desk) -> str:
    version = re.search('^onedl-mmcv==(.*)', CONSTRAINTS, re.M)[1]
    wheel = desk.folder / f'wheels/cp311-9.9/onedl_mmcv-{version}-py3.whl'
    wheel.parent.mkdir(parents=True)
    wheel.touch()
    return str(wheel)


@pytest.mark.parametrize('asked', [True, False])
def test_compiled_operators(desk, asked):
    wheel = shelve(desk)
    desk.command('c++', 'cat >/dev/null')
    if asked:
        out = finished(desk.setup(OPS='compiled'))
    else:  # torchvision's operators do not load
        (desk.folder / 'fails').write_text('import torch, torchvision\n')
        out = finished(desk.setup())
        assert 'so those of MMCV are compiled' in ' '.join(out.split())
    assert desk.pip()[-1] == f'install --no-deps --force-reinstall {wheel}'


def test_torch_chooses_the_standard_that_operators_are_compiled_for(desk):
    desk.command('c++', 'cat >/dev/null')
    version = re.search('^onedl-mmcv==(.*)', CONSTRAINTS, re.M)[1]
    source = desk.folder / f'sdist/onedl_mmcv-{version}/setup.py'
    source.parent.mkdir(parents=True)
    source.write_text("flags = ['-Wall', '-std=c++17']\n")
    finished(desk.setup(OPS='compiled'))
    (wheel,) = (desk.folder / 'wheels/cp311-9.9').iterdir()
    assert wheel.name == f'onedl_mmcv-{version}-py3.whl'
    assert wheel.read_text() == "flags = ['-Wall', ]\n"
    assert desk.pip()[-1].endswith(str(wheel))


def test_compiling_without_a_gpu_toolkit(desk):
    desk.command('c++', 'cat >/dev/null')
    (desk.folder / 'fails').write_text('CUDA_HOME\n')
    assert 'hide the GPU' in refused(desk.setup(OPS='compiled'))


REFUSALS = {
    'python': (dict(PYTHON='/nowhere/python3'), 'does not run'),
    'operators': (dict(OPS='fast'), "OPS is 'fast'"),
    'compiler': (dict(OPS='compiled', CXX='false'), 'no C\\+\\+20 compiler'),
    'no Python': (dict(PYTHON='true'), 'true .it does not run as Python'),
    'echo': (dict(PYTHON='echo'), 'echo .it does not run as Python'),
    'place': (dict(VENV='tools'), 'tools is there and is no virtual env'),
    'link': (dict(VENV='link'), 'link is there and is no virtual env'),
    'file': (dict(VENV='setup.py/x'), 'setup.py/x cannot be made'),
    'unwritable': (dict(VENV='/proc/x'), '/proc/x cannot be made'),
}


@pytest.mark.parametrize('case', REFUSALS)
def test_refused_before_anything_is_made(desk, case):
    variables, sentence = REFUSALS[case]
    (desk.folder / 'link').symlink_to('nowhere')
    before = sorted(desk.folder.rglob('*'))
    run = desk.setup(**variables)
    assert re.search(sentence, refused(run)) and not run.stdout
    made = set(desk.folder.rglob('*')) - set(before)
    assert {path.name for path in made} <= {'calls'}


def test_disk_is_full(desk):
    desk.command('df', 'echo head; echo disk 9 9 9900000')
    sentence = refused(desk.setup())
    assert 'needs 10 GB' in sentence and 'has 9 GB free' in sentence
    assert not desk.venv.exists()
    # a torch for the CPU is smaller, and most of it may be here already
    finished(desk.setup(TORCH='torch==9.9'))
    (desk.folder / 'fails').write_text(
        '-m pip install -c\nOSError: [Errno 28] No space left on device\n'
    )
    with (desk.folder / 'constraints.txt').open('a') as file:
        file.write('another==1.0\n')
    assert 'the disk is full' in refused(desk.setup(TORCH='torch==9.9'))


def test_index_lacks_a_version(desk):
    """With the real pip, which must install nothing, and an empty index."""
    run = desk.setup(
        PIP_DRY_RUN='1',
        PIP_NO_INDEX='1',
        PIP_FIND_LINKS='',
        PIP_CONFIG_FILE=os.devnull,
    )
    sentence = refused(run)
    assert 'index' in sentence and 'has no setuptools' in sentence
    assert not desk.venv.exists()


def test_versions_agree():
    """Of the checks before a commit, the citation and the changelog."""
    import kd_det

    hooks = (ROOT / '.pre-commit-config.yaml').read_text()
    for name in ('ruff', 'codespell'):
        pinned = re.search(rf'^{name}==(.+)$', CONSTRAINTS, re.M)[1]
        assert re.search(rf'{name}.*\n +rev: v{re.escape(pinned)}\n', hooks)
    cited = re.search(
        r'^version: (.+)\ndate-released: (.+)$',
        (ROOT / 'CITATION.cff').read_text(),
        re.M,
    )
    released = re.search(
        r'^## \[(\d.*)\] - (.+)$', (ROOT / 'CHANGELOG.md').read_text(), re.M
    )
    assert cited.groups() == released.groups()
    assert released[1] == kd_det.__version__
