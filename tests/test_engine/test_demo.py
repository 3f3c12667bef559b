"""The demo end to end, with a few images and steps."""

import io
import json
import shutil
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
from kd_det.engine import demo, demo_results
from kd_det.engine.hooks import ProgressHook
from kd_det.engine.hooks.initial_weights_hook import weights_digest
from kd_det.errors import UserError

SEED = 3
SMALL = {
    'train_cfg.max_epochs': 2,
    'train_dataloader.batch_size': 2,
}
THIN = 'backbone.base_channels'
WIDTHS = 'neck.in_channels'
CHANNELS = [8, 16, 32, 64]
OPTIONS = dict(
    teacher={**SMALL, f'model.{THIN}': 8, f'model.{WIDTHS}': CHANNELS},
    alone={**SMALL, f'model.{THIN}': 8, f'model.{WIDTHS}': CHANNELS},
    distilled={
        **SMALL,
        f'model.student.{THIN}': 8,
        f'model.student.{WIDTHS}': CHANNELS,
        f'model.teacher.{THIN}': 8,
        f'model.teacher.{WIDTHS}': CHANNELS,
        'custom_hooks.0.floor': None,  # a teacher of 4 steps
    },
)
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
    before, _, after = text.partition('[1/5]')
    for stage in demo.STAGES:
        assert stage.title in before
        assert stage.title in after
    assert before.count('about') == 6
    assert text.count('in all') == 6
    assert text.count('step 4 of 4') == 3
    assert 'INFO' not in text


def test_table_is_what_the_json_holds(first, folder):
    results, text = first
    assert json.loads((folder / 'results.json').read_text()) == results
    table = (folder / 'results.md').read_text()
    assert table in text
    rows = [line for line in table.splitlines() if line.startswith('| ')]
    assert len(rows) == 5
    for line, row in zip(rows[2:], results['models'].values(), strict=True):
        cells = [cell.strip() for cell in line.strip('|').split('|')]
        assert cells[1:] == [
            *(f'{100 * row[key]:.1f}' for key in ('mAP', 'AP50', 'AP75')),
            f'{row["parameters"] / 1e6:.1f} M',
            f'{row["ms_per_image"]:.1f}',
        ]
        assert row['ms_per_image'] > 0


def test_networks_are_what_the_table_says(first, folder):
    results, _ = first
    for key, row in results['models'].items():
        checkpoint = load_checkpoint(str(folder / key / 'epoch_2.pth'))
        state = checkpoint['state_dict']
        counted = sum(
            value.numel()
            for name, value in state.items()
            if not name.endswith(('running_mean', 'running_var', 'tracked'))
        )
        assert row['parameters'] == counted
    teacher, alone, distilled = results['models'].values()
    assert alone['parameters'] == distilled['parameters']
    assert alone['parameters'] < teacher['parameters']


def test_students_begin_alike(first, folder):
    results, _ = first
    alone, distilled = (
        (folder / key / 'initial_weights.sha256').read_text()
        for key in ('alone', 'distilled')
    )
    assert alone == distilled == results['initial_weights']
    digests = []
    for seed in (SEED, SEED + 1):
        cfg = demo.prepare(demo.ALONE, folder, OPTIONS['alone'])
        set_random_seed(seed)
        model = MODELS.build(cfg.model)
        model.init_weights()
        digests.append(weights_digest(model))
    assert digests[0] == alone
    assert digests[1] != alone


def test_picture(first, folder):
    with Image.open(folder / 'demo.png') as picture:
        assert picture.format == 'PNG'
        columns, height = picture.size[0] / 300, picture.size[1]
    assert columns == 4
    assert 0 < (height - 150) / 300 <= 4


def test_goes_on_and_ends_the_same(first, folder, monkeypatch):
    results, _ = first
    last = folder / 'distilled/epoch_2.pth'
    before = load_checkpoint(str(last))['state_dict']
    written = (folder / 'alone/epoch_2.pth').stat().st_mtime_ns
    shutil.rmtree(folder / 'distilled')
    after_train_iter = ProgressHook.after_train_iter

    def interrupt(self, runner, *args, **kwargs):
        if runner.iter == 2:
            raise KeyboardInterrupt
        after_train_iter(self, runner, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(ProgressHook, 'after_train_iter', interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(folder)
    assert (folder / 'distilled/epoch_1.pth').is_file()
    assert not last.exists()

    again, text = run(folder)
    assert text.count('reused') == 3
    assert again['stages']['distilled']['resumed']
    assert (folder / 'alone/epoch_2.pth').stat().st_mtime_ns == written
    after = load_checkpoint(str(last))['state_dict']
    assert before.keys() == after.keys()
    for key, value in before.items():
        assert torch.equal(value, after[key]), key
    for key, row in results['models'].items():
        for name in ('mAP', 'AP50', 'AP75'):
            assert again['models'][key][name] == row[name]

    third, text = run(folder)
    assert text.count('reused') == 5
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


@pytest.mark.parametrize('name', ['optim_wrapper', 'train_dataloader'])
def test_unlike_students_are_refused(folder, first, name):
    cfgs = {
        stage.key: demo.prepare(stage, folder, None)
        for stage in demo.TRAININGS
    }
    records = dict.fromkeys(cfgs, dict(initial_weights='same'))
    demo_results.check_alike(cfgs, records)
    with pytest.raises(RuntimeError, match='other weights'):
        demo_results.check_alike(
            cfgs, dict(records, alone=dict(initial_weights='other'))
        )
    cfgs['alone'][name].changed = True
    with pytest.raises(RuntimeError, match=name):
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
