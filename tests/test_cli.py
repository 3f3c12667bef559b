"""``kd_det COMMAND``: what it lists, imports, accepts and refuses."""

import argparse
import os
import subprocess
import sys

import pytest

import kd_det
from kd_det import cli
from kd_det.cli.arguments import add_run_arguments
from kd_det.precompute.centroids import SOURCES


def python(*words: str, code: int = 0) -> subprocess.CompletedProcess:
    """Run Python in a process of its own."""
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    return done


def started(*words: str, code: int = 0) -> subprocess.CompletedProcess:
    return python('-m', 'kd_det', *words, code=code)


def test_help_lists_every_command():
    text = started('--help').stdout
    assert started().stdout == text
    for command in cli.COMMANDS:
        line = cli.module_of(command).__doc__.splitlines()[0]
        assert f'  {command} ' in text and line in text


def test_version():
    assert started('--version').stdout == f'{kd_det.__version__}\n'


def test_help_of_a_command_imports_no_library():
    code = (
        'import sys\n'
        'from kd_det.cli import COMMANDS, main\n'
        'for command in COMMANDS:\n'
        '    try:\n'
        '        main(argv=[command, "--help"])\n'
        '    except SystemExit as end:\n'
        '        assert end.code == 0\n'
        "    heavy = {'torch', 'numpy', 'mmengine', 'mmcv', 'mmdet', 'cv2'}\n"
        '    assert not heavy & set(sys.modules), command'
    )
    text = python('-c', code).stdout
    for command in cli.COMMANDS:
        assert f'usage: kd_det {command} ' in text


def test_the_functions_need_no_library_until_they_are_used():
    code = (
        'import sys, kd_det\n'
        "assert {'distill', 'train', 'evaluate', 'export'} <= {*dir(kd_det)}\n"
        "assert not hasattr(kd_det, 'nothing')\n"
        "assert 'torch' not in sys.modules"
    )
    python('-c', code)


def test_an_unknown_command():
    done = started('trian', code=2)
    assert done.stderr.startswith("error: There is no command 'trian'; ")
    assert done.stderr.endswith("did you mean 'train'?\n")
    assert done.stderr.count('\n') == 1


def test_wrong_arguments():
    err = started('train', '--nope', code=2).stderr
    assert err.startswith('usage: kd_det train ')


def test_an_option_without_a_value(capsys):
    parser = argparse.ArgumentParser()
    add_run_arguments(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(['run.py', '--cfg-options', 'data_root'])
    assert 'data_root: KEY=VALUE is accepted' in capsys.readouterr().err


def test_sources_of_centroids_are_those_of_the_pass():
    parser = argparse.ArgumentParser()
    cli.module_of('centroids').add_arguments(parser)
    (action,) = [a for a in parser._actions if a.dest == 'source']
    assert tuple(action.choices) == tuple(SOURCES)


def test_a_broken_library_points_to_env(tmp_path):
    """torch is there and fails at its import."""
    (tmp_path / 'torch.py').write_text('raise OSError("no libcudart")')
    code = (
        f'import sys; sys.path.insert(0, {str(tmp_path)!r})\n'
        'from kd_det.cli import main; main(argv=["train", "x.py"])'
    )
    done = python('-c', code, code=2)
    assert done.stderr.count('\n') == 1
    assert 'OSError: no libcudart' in done.stderr
    assert '`kd_det env`' in done.stderr


@pytest.mark.parametrize(
    ('words', 'unbuffered'),
    [(['--help'], ''), (['--help'], '1'), (['train', '--help'], '')],
)
def test_a_reader_that_has_left(words, unbuffered):
    out, into = os.pipe()
    os.close(out)
    done = subprocess.run(
        [sys.executable, '-m', 'kd_det', *words],
        stdout=into,
        stderr=subprocess.PIPE,
        env=dict(os.environ, PYTHONUNBUFFERED=unbuffered),
        check=False,
    )
    os.close(into)
    assert (done.returncode, done.stderr) == (141, b'')


def test_another_broken_pipe_is_a_bug():
    code = (
        'import os; from kd_det.cli import run_tool\n'
        'out, into = os.pipe(); os.close(out)\n'
        "run_tool(lambda: os.write(into, b'x'))"
    )
    assert 'BrokenPipeError' in python('-c', code, code=1).stderr


def test_a_deleted_working_directory(tmp_path):
    code = (
        'import os, sys; from kd_det.cli import main\n'
        'os.chdir(sys.argv[1]); os.rmdir(sys.argv[1])\n'
        "main(argv=['compare', 'a', 'b'])"
    )
    done = python('-c', code, str(tmp_path), code=2)
    assert done.stderr.startswith('error: The working directory has been del')
    assert done.stderr.count('\n') == 1


def test_without_docstrings():
    text = python('-OO', '-m', 'kd_det').stdout
    assert all(f'\n  {command}\n' in text for command in cli.COMMANDS)
    text = python('-OO', '-m', 'kd_det', 'train', '--help').stdout
    assert text.startswith('usage: kd_det train ')


@pytest.mark.parametrize('command', ['compare', 'check-gpu'])
def test_an_output_is_checked_before_the_work(command, tmp_path):
    words = dict(compare=('a', 'b')).get(command, ('--device', 'cpu'))
    done = started(command, *words, '--out', str(tmp_path), code=2)
    assert done.stdout == ''
    assert done.stderr == (
        f'error: --out {str(tmp_path)!r} is a folder; use the name of a '
        'file.\n'
    )
