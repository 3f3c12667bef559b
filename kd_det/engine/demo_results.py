"""What came out of the demo: scores, times, a table and a picture."""

import json
import platform
import subprocess
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
from mmengine.config import Config
from PIL import Image
from torch import nn

import kd_det
from kd_det.analysis.pictures import Boxes, draw_comparison
from kd_det.engine import launch
from kd_det.engine.centroid_pass import package_versions
from kd_det.files import atomic_write

NAMES = dict(
    teacher='teacher',
    alone='student alone',
    distilled='student with ND',
)
METRICS = dict(mAP='bbox_mAP', AP50='bbox_mAP_50', AP75='bbox_mAP_75')
WARM_UP = 10  # images before times are taken
ROWS = 4  # images in the picture
OBJECTS = range(3, 6)  # in each of them
THRESHOLD = 0.4  # least score in the picture


def evaluate(
    cfgs: dict[str, Config],
    records: dict[str, dict],
    folder: Path,
    seed: int,
) -> dict:
    """Evaluate the three networks and write table, JSON and picture.

    Args:
        cfgs: ``teacher``, ``alone``, ``distilled`` -> config of its training.
        records: The same -> ``path`` of the checkpoint, ``sha256``,
            ``initial_weights``, ``seconds``, ``cpu_seconds``.
        folder: Where to write.
        seed: Of the trainings.

    Returns:
        What ``results.json`` holds.

    Raises:
        RuntimeError: The students did not begin alike.
    """
    check_alike(cfgs, records)
    models, rows = {}, {}
    for key, cfg in cfgs.items():
        cfg = cfg.copy()
        cfg.work_dir = str(folder / 'evaluation')
        runner = launch.tester(cfg, records[key]['path'])
        scores = runner.test()
        models[key] = runner.model.eval()
        rows[key] = dict(
            config=Path(cfg.filename).name,
            **{
                name: float(scores[f'coco/{metric}'])
                for name, metric in METRICS.items()
            },
            parameters=sum(p.numel() for p in runner.model.parameters()),
        )
    loader = runner.test_dataloader
    batches = list(loader)
    for key, milliseconds in latency(models, batches).items():
        rows[key]['ms_per_image'] = round(milliseconds, 1)
    for key, record in records.items():
        for name in ('sha256', 'seconds', 'cpu_seconds', 'resumed'):
            rows[key][name] = record[name]
    alone = cfgs['alone']
    results = dict(
        models=rows,
        seed=seed,
        initial_weights_of_the_students=records['alone']['initial_weights'],
        epochs={
            key: cfg.train_cfg.max_epochs for key, cfg in cfgs.items()
        },
        batch_size=alone.train_dataloader.batch_size,
        validation_images=len(loader.dataset),
        threads=torch.get_num_threads(),
        device=str(next(models['teacher'].parameters()).device),
        machine=f'{platform.machine()}, Python {platform.python_version()}',
        versions=dict(kd_det=kd_det.__version__, **package_versions()),
        commit=commit(),
    )
    draw(folder / 'demo.png', models, batches, loader.dataset, results)
    with atomic_write(folder / 'results.md') as file:
        file.write(table(results).encode())
    with atomic_write(folder / 'results.json') as file:
        file.write(json.dumps(results, indent=1).encode())
    return results
