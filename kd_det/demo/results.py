"""Results of the demo: scores, timing, table and picture."""

import json
import platform
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
from kd_det.api import launch
from kd_det.demo.rows import ALONE, PICTURED, ROWS, TEACHER
from kd_det.engine import run_facts
from kd_det.files import atomic_write
from kd_det.precompute.provenance import package_versions
from kd_det.progress import duration

METRICS = dict(mAP='bbox_mAP', AP50='bbox_mAP_50', AP75='bbox_mAP_75')
WARM_UP = 10  # images before timing
PICTURES = 4  # images in the picture
OBJECTS = range(3, 6)  # number of objects per image
THRESHOLD = 0.4  # minimum score in the picture


def evaluate(
    cfgs: dict[str, Config], records: dict[str, dict], png: Path
) -> dict:
    """Evaluate and time the networks, and draw their predictions.

    Args:
        cfgs: Row key -> config of its training.
        records: Row key -> ``path`` of the checkpoint and ``initial_weights``.
        png: Picture file to write.

    Returns:
        ``models``: inherited parts, losses and scores; ``networks``: size and
            latency of teacher and student; and the measurement setup.

    Raises:
        RuntimeError: The students were not trained under the same conditions.
    """
    check_alike(cfgs, records)
    networks, models = {}, {}
    for row in ROWS:
        cfg = cfgs[row.key].copy()
        cfg.work_dir = str(png.parent / 'evaluation')
        runner = launch.tester(cfg, records[row.key]['path'])
        scores = runner.test()
        networks[row.key] = runner.model.eval()
        models[row.key] = dict(
            title=row.title,
            inherited=inherited(cfg),
            losses=losses(cfg),
            **{
                name: float(scores[f'coco/{metric}'])
                for name, metric in METRICS.items()
            },
        )
    loader = runner.test_dataloader
    batches = list(loader)
    two = {row.key: networks[row.key] for row in (TEACHER, ALONE)}
    draw(
        png,
        {
            f'{row.title}\nmAP {100 * models[row.key]["mAP"]:.1f}': networks[
                row.key
            ]
            for row in PICTURED
        },
        batches,
        loader.dataset,
    )
    alone = cfgs[ALONE.key]
    return dict(
        models=models,
        networks={
            key: dict(
                parameters=sum(p.numel() for p in two[key].parameters()),
                ms_per_image=round(1000 * seconds, 1),
            )
            for key, seconds in latencies(two, batches).items()
        },
        epochs={key: c.train_cfg.max_epochs for key, c in cfgs.items()},
        batch_size=alone.train_dataloader.batch_size,
        initial_weights=records[ALONE.key]['initial_weights'],
        validation_images=len(loader.dataset),
        threads=torch.get_num_threads(),
        device=str(next(networks[ALONE.key].parameters()).device),
        machine=f'{platform.machine()}, Python {platform.python_version()}',
        versions=dict(kd_det=kd_det.__version__, **package_versions()),
        commit=run_facts.commit(),
    )


def inherited(cfg: Config) -> list[str]:
    """Return the parts that the student inherits from the teacher."""
    return list(cfg.model.get('student', {}).get('inherit', ()))


def losses(cfg: Config) -> list[str]:
    """Return the names of a training's distillation losses."""
    return [
        loss.type
        for distiller in cfg.model.get('distillers', {}).values()
        for loss in distiller.losses.values()
    ]


def check_alike(cfgs: dict[str, Config], records: dict[str, dict]) -> None:
    """Raise unless all students share data, schedule and initial weights.

    The initial weights of inherited parts must differ.
    """
    alone = cfgs[ALONE.key]
    start = records[ALONE.key]['initial_weights']
    for row in ROWS[ROWS.index(ALONE) + 1 :]:
        cfg = cfgs[row.key]
        for name in (
            'train_dataloader',
            'train_cfg',
            'optim_wrapper',
            'param_scheduler',
        ):
            if cfg[name] != alone[name]:
                raise RuntimeError(
                    f'The students {ALONE.key} and {row.key} differ in {name}.'
                )
        own = records[row.key]['initial_weights']
        other = {part for part in start if own.get(part) != start[part]}
        if own.keys() != start.keys() or other != set(inherited(cfg)):
            raise RuntimeError(
                f'The students {ALONE.key} and {row.key} started from '
                f'different weights in {sorted(other)}, while '
                f'{inherited(cfg)} are inherited.'
            )


@torch.no_grad()
def latencies(
    networks: dict[str, nn.Module], batches: list[dict]
) -> dict[str, float]:
    """Return the median time of ``test_step`` in seconds.

    The networks alternate, so that a busy machine affects them equally.
    """
    taken = {key: [] for key in networks}
    for number, batch in enumerate(batches[:WARM_UP] + batches):
        for key, network in networks.items():
            began = time.perf_counter()
            network.test_step(batch)
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if number >= WARM_UP:
                taken[key].append(time.perf_counter() - began)
    return {key: median(times) for key, times in taken.items()}


@torch.no_grad()
def draw(
    png: Path,
    networks: dict[str, nn.Module],
    batches: list[dict],
    dataset,
) -> None:
    """Draw the predictions of the networks on some images.

    These are the first validation images with a few objects.
    """
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    chosen = [
        index
        for index, info in enumerate(infos)
        if len(info['instances']) in OBJECTS
    ][:PICTURES]
    seen = {
        title: [
            _predicted(network.test_step(batches[index])[0])
            for index in chosen
        ]
        for title, network in networks.items()
    }
    draw_comparison(
        png,
        [_read(infos[index]['img_path']) for index in chosen],
        [_annotated(infos[index]) for index in chosen],
        seen,
        dataset.metainfo['classes'],
        THRESHOLD,
        f'The first {len(chosen)} validation images with {OBJECTS[0]} to '
        f'{OBJECTS[-1]} objects; boxes of score {THRESHOLD} and more, the '
        f'best in each place. mAP is that of all {len(dataset)} images.',
    )


def _read(path: str) -> np.ndarray:
    return np.asarray(Image.open(path).convert('RGB'))


def _annotated(info: dict) -> Boxes:
    instances = info['instances']
    return Boxes(
        np.array([instance['bbox'] for instance in instances]),
        np.array([instance['bbox_label'] for instance in instances]),
    )


def _predicted(sample) -> Boxes:
    found = sample.pred_instances.cpu().numpy()
    return Boxes(found.bboxes, found.labels, found.scores)


def write_results(folder: Path, results: dict) -> None:
    """Write ``results.json`` and the table as ``results.md``."""
    for name, text in (
        ('results.json', json.dumps(results, indent=1)),
        ('results.md', table(results)),
    ):
        with atomic_write(folder / name) as file:
            file.write(f'{text}\n'.encode())


def table(results: dict) -> str:
    """Return the results as a Markdown table with an explanation."""
    models, networks = results['models'], results['networks']
    lines = [
        '| model | inherited | loss | mAP | gain | AP50 | AP75 |',
        '| :-- | :-- | :-- | --: | --: | --: | --: |',
    ]
    for key, row in models.items():
        gain = 100 * (row['mAP'] - models['alone']['mAP'])
        cells = [
            row['title'],
            ', '.join(row['inherited']),
            ', '.join(row['losses']),
            f'{100 * row["mAP"]:.1f}',
            '' if key == 'alone' else f'{gain:+.1f}',
            *(f'{100 * row[name]:.1f}' for name in ('AP50', 'AP75')),
        ]
        lines.append(f'| {" | ".join(cells)} |')
    epochs, start = results['epochs'], results['initial_weights']
    size = {
        key: f'{network["parameters"] / 1e6:.1f} M parameters, '
        f'{network["ms_per_image"]:.0f} ms an image'
        for key, network in networks.items()
    }
    cpu = sum(stage['cpu_seconds'] for stage in results['stages'].values())
    lines += [
        '',
        f'Teacher: Faster R-CNN EfficientNet-Lite2 ({size["teacher"]}), '
        f'{epochs["teacher"]} epochs. Student: Lite0 ({size["alone"]}),',
        f'{epochs["alone"]} epochs; its schedule, batch '
        f'size ({results["batch_size"]}), seed ({results["seed"]}) and '
        'initial weights are the same in every row,',
        'except for what is inherited; this was checked (backbone: sha256 '
        f'{start["backbone"][:12]}). COCO AP in percent on '
        f'{results["validation_images"]} validation images;',
        f'gain: over the student alone; {results["threads"]} thread(s), '
        f'{results["device"]}. All stages took {duration(cpu)} of '
        'processor time.',
        'One seed, minutes of training: a small difference may be chance.',
    ]
    return '\n'.join(lines)
