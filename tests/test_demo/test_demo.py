"""The demo end to end, with a few images and steps."""

import io
import json
import shutil
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import torch
from mmengine.registry import MODELS
from mmengine.runner import set_random_seed
from PIL import Image

from kd_det.checkpoint import load_checkpoint
from kd_det.cli import run_tool
from kd_det.demo import demo
from kd_det.demo import results as demo_results
from kd_det.engine.hooks import ProgressHook
from kd_det.engine.hooks.initial_weights_hook import weights_digests
from kd_det.errors import UserError

SEED = 3
SMALL = {
    'train_cfg.max_epochs': 2,
    'train_dataloader.batch_size': 2,
}
PAIR = {**SMALL, 'custom_hooks.0.floor': None}  # a teacher of 4 steps
OPTIONS = dict(teacher=SMALL, alone=SMALL, kd=PAIR, inherit=PAIR, stitch=PAIR)
STUDENTS = ('alone', 'kd', 'inherit', 'stitch')
INHERITED = {'neck', 'rpn_head', 'roi_head'}
IMAGES = dict(num_train=4, num_val=6)


def run(folder) -> tuple[dict, str]:
    printed = io.StringIO()
    with redirect_stdout(printed):
        results = demo.run(folder, SEED, images=IMAGES, options=OPTIONS)
    return results, printed.getvalue()


@pytest.fixture(scope='module')
def folder():
    # not pytest's folder, which keeps the checkpoints of three sessions
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


@pytest.fixture(scope='module')
def first(folder):
    return run(folder)


def test_says_what_happens(first):
    _, text = first
    before, _, after = text.partition('[1/7]')
    for stage in demo.STAGES:
        assert stage.title in before
        assert stage.title in after
    assert before.count('about') == 8
    assert text.count('in all') == 8
    assert text.count('step 4 of 4') == 5
    assert 'INFO' not in text


def test_table_is_what_the_json_holds(first, folder):
    results, text = first
    assert json.loads((folder / 'results.json').read_text()) == results
    table = (folder / 'results.md').read_text()
    assert table in text
    rows = [line for line in table.splitlines() if line.startswith('| ')]
    assert len(rows) == 7
    alone = results['models']['alone']['mAP']
    for line, (key, row) in zip(
        rows[2:], results['models'].items(), strict=True
    ):
        cells = [cell.strip() for cell in line.strip('|').split('|')]
        gain = f'{100 * (row["mAP"] - alone):+.1f}'
        assert cells == [
            row['title'],
            'neck, rpn_head, roi_head' * key.startswith(('inherit', 'stitch')),
            'KDLoss' * key.endswith('kd'),
            f'{100 * row["mAP"]:.1f}',
            '' if key == 'alone' else gain,
            f'{100 * row["AP50"]:.1f}',
            f'{100 * row["AP75"]:.1f}',
        ]
    for network in results['networks'].values():
        assert f'{network["parameters"] / 1e6:.1f} M param' in table
        assert network['ms_per_image'] > 0


def test_networks_are_what_the_table_says(first, folder):
    results, _ = first
    counted = {}
    for key in results['models']:
        checkpoint = load_checkpoint(str(folder / key / 'epoch_2.pth'))
        counted[key] = sum(
            value.numel()
            for name, value in checkpoint['state_dict'].items()
            if not name.endswith(('running_mean', 'running_var', 'tracked'))
        )
    for key, network in results['networks'].items():
        assert network['parameters'] == counted[key]
    assert len({counted[key] for key in STUDENTS}) == 1
    assert counted['alone'] < counted['teacher']


def test_students_begin_alike_but_for_what_is_inherited(first, folder):
    results, _ = first
    alone, kd, *inheriting = (
        json.loads((folder / key / 'initial_weights.json').read_text())
        for key in STUDENTS
    )
    assert alone == kd == results['initial_weights']
    for digests in inheriting:
        same = {part for part in alone if digests[part] == alone[part]}
        assert same == alone.keys() - INHERITED
    digests = []
    for seed in (SEED, SEED + 1):
        cfg = demo.prepare(demo.ALONE, folder, OPTIONS['alone'])
        set_random_seed(seed)
        model = MODELS.build(cfg.model)
        model.init_weights()
        digests.append(weights_digests(model))
    assert digests[0] == alone
    assert digests[1]['neck'] != alone['neck']
    assert digests[1]['backbone'] == alone['backbone']  # of ImageNet


def test_picture(first, folder):
    with Image.open(folder / 'demo.png') as picture:
        assert picture.format == 'PNG'
        columns, height = picture.size[0] / 300, picture.size[1]
    assert columns == 4
    assert 0 < (height - 150) / 300 <= 4


def test_goes_on_and_ends_the_same(first, folder, monkeypatch):
    results, _ = first
    last = folder / 'stitch/epoch_2.pth'
    before = load_checkpoint(str(last))['state_dict']
    written = (folder / 'alone/epoch_2.pth').stat().st_mtime_ns
    shutil.rmtree(folder / 'stitch')
    after_train_iter = ProgressHook.after_train_iter

    def interrupt(self, runner, *args, **kwargs):
        if runner.iter == 2:
            raise KeyboardInterrupt
        after_train_iter(self, runner, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(ProgressHook, 'after_train_iter', interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(folder)
    assert (folder / 'stitch/epoch_1.pth').is_file()
    assert not last.exists()

    again, text = run(folder)
    assert text.count('reused') == 5
    assert again['stages']['stitch']['resumed']
    assert (folder / 'alone/epoch_2.pth').stat().st_mtime_ns == written
    after = load_checkpoint(str(last))['state_dict']
    assert before.keys() == after.keys()
    for key, value in before.items():
        assert torch.equal(value, after[key]), key
    for key, row in results['models'].items():
        for name in ('mAP', 'AP50', 'AP75'):
            assert again['models'][key][name] == row[name]

    third, text = run(folder)
    assert text.count('reused') == 7
    assert third == again


def test_tool_says_what_is_wrong(tmp_path, capsys):
    (tmp_path / 'teacher').mkdir()
    with pytest.raises(SystemExit) as error:
        run_tool(lambda: demo.run(tmp_path))
    assert error.value.code == 2
    assert 'is not from an earlier run' in capsys.readouterr().err
    with pytest.raises(UserError):
        demo.run(tmp_path, fresh=True)
    assert (tmp_path / 'teacher').is_dir()


@pytest.mark.parametrize(
    'name', ['pip://no_such_weights', 'pip://pytest', 'timm']
)
def test_weights_that_are_not_installed(tmp_path, monkeypatch, name):
    if name == 'timm':
        monkeypatch.setitem(sys.modules, 'timm', None)
    else:
        read = demo.load_config

        def other(path):
            cfg = read(path)
            cfg.model.backbone.init_cfg.checkpoint = name
            return cfg

        monkeypatch.setattr(demo, 'load_config', other)
    with pytest.raises(UserError, match=r"pip install 'kd_det\[pretrained\]'"):
        demo.run(tmp_path / 'demo')
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize('name', ['optim_wrapper', 'train_dataloader'])
def test_unlike_students_are_refused(folder, first, name):
    cfgs = {row.key: demo.prepare(row, folder, None) for row in demo.ROWS}
    records = {
        row.key: json.loads((folder / row.key / 'stage.json').read_text())[
            'record'
        ]
        for row in demo.ROWS
    }
    demo_results.check_alike(cfgs, records)
    for other in ('alone', 'teacher'):  # nothing inherited, and a backbone
        wrong = dict(records, stitch=records[other])
        with pytest.raises(RuntimeError, match='started from different'):
            demo_results.check_alike(cfgs, wrong)
    cfgs['kd'][name].changed = True
    with pytest.raises(RuntimeError, match=f'alone and kd differ in {name}'):
        demo_results.check_alike(cfgs, records)


def test_latency_is_a_median_and_networks_take_turns(monkeypatch):
    calls, clock = [], [0.0]

    class Fake:
        def __init__(self, key, seconds):
            self.key, self.seconds = key, list(seconds)

        def test_step(self, batch):
            calls.append((self.key, batch))
            clock[0] += self.seconds.pop(0)

    monkeypatch.setattr(demo_results, 'WARM_UP', 1)
    monkeypatch.setattr(demo_results.time, 'perf_counter', lambda: clock[0])
    networks = dict(a=Fake('a', [99, 1, 2, 6]), b=Fake('b', [99, 5, 7, 50]))
    times = demo_results.latencies(networks, [10, 20, 30])
    assert calls == [(k, b) for b in (10, 10, 20, 30) for k in 'ab']
    assert times == pytest.approx(dict(a=2, b=7))
