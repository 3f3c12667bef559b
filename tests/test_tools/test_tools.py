"""The command-line tools as a user starts them."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny import KD, ND, pair_cfg, run_cfg

from kd_det.centroids import CentroidBank

TOOLS = Path(__file__).parents[2] / 'tools'


@pytest.fixture
def run(folder, monkeypatch, capsys):
    """Run a tool in the folder; return what it prints, its errors apart."""
    monkeypatch.chdir(folder)

    def of_tool(tool, *args, code=0):
        path = str(TOOLS / tool)
        monkeypatch.setattr(sys, 'argv', [path, *map(str, args)])
        ended = 0
        try:
            runpy.run_path(path, run_name='__main__')
        except SystemExit as end:
            ended = end.code
        printed = capsys.readouterr()
        assert ended == code, printed.err
        return printed

    return of_tool


@pytest.fixture(scope='module')
def folder(shapes, teacher, tmp_path_factory):
    """Where the tools are run: a config of a pair, nothing else."""
    folder = tmp_path_factory.mktemp('tools')
    model = pair_cfg(
        dict(teacher, ckpt='nowhere.pth'), {**KD, **ND}, 'banks/bank.npz'
    )
    run_cfg(model, shapes, 'run').dump(folder / 'pair.py')
    return folder


def test_the_way_of_a_user(run, folder, teacher):
    """Class means, training, evaluation; relative paths, new folders."""
    weights = ('--teacher', teacher['ckpt'])
    out, _ = run('compute_centroids.py', 'pair.py', *weights)
    assert 'Wrote banks/bank.npz' in out
    bank = CentroidBank.load(folder / 'banks/bank.npz')
    assert bank.provenance['source'] == 'proposals'

    options = ('--work-dir', 'work', '--seed', 3, '--cfg-options')
    change = 'optim_wrapper.optimizer.lr=0.02'
    run('train.py', 'pair.py', *weights, *options, change)
    path = folder / 'work/epoch_1.pth'
    checkpoint = torch.load(path, weights_only=False)
    assert not any('teacher' in key for key in checkpoint['state_dict'])
    assert checkpoint['meta']['seed'] == 3
    assert checkpoint['optimizer']['param_groups'][0]['lr'] == 0.02

    run(
        'test.py',
        *('pair.py', 'work/epoch_1.pth', '--work-dir', 'tested'),
        *('--out', 'out/student'),
    )
    boxes = json.loads((folder / 'out/student.bbox.json').read_text())
    assert {'image_id', 'bbox', 'score', 'category_id'} <= {*boxes[0]}
    (scores,) = (folder / 'tested').glob('*/*.json')
    assert 'coco/bbox_mAP' in json.loads(scores.read_text())


@pytest.mark.parametrize(
    ('tool', 'args', 'message'),
    [
        ('train.py', ['pair.py'], "There is no checkpoint 'nowhere.pth'"),
        ('test.py', ['nope.py', 'x.pth'], "There is no config 'nope.py'"),
        (
            'compute_centroids.py',
            ['pair.py', '--cfg-options', 'data_root=nope'],
            "no train annotation file 'nope/annotations/",
        ),
        (
            'train_autoencoder.py',
            ['pair.py'],
            "There is no checkpoint 'nowhere.pth'",
        ),
        (
            'analyze_features.py',
            ['pair.py', 'x.pth', '--num-images', '3'],
            '--num-images 3, --minibatch 0; at least 4',
        ),
    ],
)
def test_user_errors(run, tool, args, message):
    """Exit code 2 and one sentence on stderr, no traceback."""
    out, err = run(tool, *args, code=2)
    assert 'Traceback' not in out + err
    sentences = [line for line in err.splitlines() if 'error: ' in line]
    assert len(sentences) == 1 and err.endswith(f'{sentences[0]}\n')
    assert sentences[0].startswith('error: ') and message in sentences[0]


def test_a_process_of_its_own(tmp_path):
    done = subprocess.run(
        [sys.executable, str(TOOLS / 'train.py'), '--nope'],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith('usage: train.py')
