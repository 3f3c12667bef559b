"""What comes out of the demo: scores, times, a table and a picture."""

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
    teacher='teacher (Faster R-CNN R-34)',
    alone='student alone (R-18)',
    distilled='student with ND (R-18)',
)
METRICS = dict(mAP='bbox_mAP', AP50='bbox_mAP_50', AP75='bbox_mAP_75')
WARM_UP = 10  # images before times are taken
ROWS = 4  # images in the picture
OBJECTS = range(3, 6)  # in each of them
THRESHOLD = 0.4  # least score in the picture


def evaluate(
    cfgs: dict[str, Config], records: dict[str, dict], png: Path
) -> dict:
    """Evaluate the three networks, time them and draw what they see.

    Args:
        cfgs: ``teacher``, ``alone``, ``distilled`` -> config of its training.
        records: The same -> ``path`` of the checkpoint and
            ``initial_weights``.
        png: The picture to write.

    Returns:
        ``models``: scores, size and time of each; and what they were
        measured with.

    Raises:
        RuntimeError: The students were not trained alike.
    """
    check_alike(cfgs, records)
    networks, rows = {}, {}
    for key, cfg in cfgs.items():
        cfg = cfg.copy()
        cfg.work_dir = str(png.parent / 'evaluation')
        runner = launch.tester(cfg, records[key]['path'])
        scores = runner.test()
        networks[key] = network = runner.model.eval()
        rows[key] = {
            name: float(scores[f'coco/{metric}'])
            for name, metric in METRICS.items()
        }
        rows[key]['parameters'] = sum(p.numel() for p in network.parameters())
    loader = runner.test_dataloader
    batches = list(loader)
    for key, seconds in latencies(networks, batches).items():
        rows[key]['ms_per_image'] = round(1000 * seconds, 1)
    titles = {
        key: f'{NAMES[key]}\nmAP {100 * row["mAP"]:.1f}'
        for key, row in rows.items()
    }
    draw(png, networks, titles, batches, loader.dataset)
    train = cfgs['alone'].train_dataloader
    return dict(
        models=rows,
        epochs={key: c.train_cfg.max_epochs for key, c in cfgs.items()},
        batch_size=train.batch_size,
        initial_weights=records['alone']['initial_weights'],
        validation_images=len(loader.dataset),
        threads=torch.get_num_threads(),
        device=str(next(network.parameters()).device),
        machine=f'{platform.machine()}, Python {platform.python_version()}',
        versions=dict(kd_det=kd_det.__version__, **package_versions()),
        commit=commit(),
    )


def check_alike(cfgs: dict[str, Config], records: dict[str, dict]) -> None:
    """Stop unless both students had the same start, data and schedule."""
    alone, distilled = cfgs['alone'], cfgs['distilled']
    for name in (
        'train_dataloader',
        'train_cfg',
        'optim_wrapper',
        'param_scheduler',
    ):
        if alone[name] != distilled[name]:
            raise RuntimeError(f'The students differ in {name}.')
    one, other = (
        records[key]['initial_weights'] for key in ('alone', 'distilled')
    )
    if one != other:
        raise RuntimeError(
            f'The students began with other weights: {one}, {other}.'
        )


@torch.no_grad()
def latencies(
    networks: dict[str, nn.Module], batches: list[dict]
) -> dict[str, float]:
    """Return the median seconds of ``test_step``, a batch at a time.

    The networks take turns, so that a busy machine slows all alike.
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
    titles: dict[str, str],
    batches: list[dict],
    dataset,
) -> None:
    """Draw the first validation images with a few objects."""
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    chosen = [
        index
        for index, info in enumerate(infos)
        if len(info['instances']) in OBJECTS
    ][:ROWS]
    seen = {
        titles[key]: [
            _predicted(network.test_step(batches[index])[0])
            for index in chosen
        ]
        for key, network in networks.items()
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


def commit() -> str | None:
    """Return the git commit of this code, or None outside a repository."""
    root = Path(kd_det.__file__).parents[1]
    if not (root / '.git').exists():  # of a user's project around it
        return None
    command = 'git describe --always --dirty --abbrev=12 --exclude=*'
    try:
        found = subprocess.run(
            command.split(),
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()


def write_results(folder: Path, results: dict) -> None:
    """Write ``results.json`` and the table as ``results.md``."""
    for name, text in (
        ('results.json', json.dumps(results, indent=1)),
        ('results.md', table(results)),
    ):
        with atomic_write(folder / name) as file:
            file.write(f'{text}\n'.encode())


def table(results: dict) -> str:
    """Return the results as a Markdown table and what they are."""
    lines = [
        '| model | mAP | AP50 | AP75 | parameters | ms per image |',
        '| :-- | --: | --: | --: | --: | --: |',
    ]
    for key, row in results['models'].items():
        scores = ' | '.join(f'{100 * row[name]:.1f}' for name in METRICS)
        size = f'{row["parameters"] / 1e6:.1f} M'
        lines.append(
            f'| {NAMES[key]} | {scores} | {size} | {row["ms_per_image"]:.1f} |'
        )
    epochs = results['epochs']
    lines += [
        '',
        f'Both students had the same schedule ({epochs["alone"]} epochs, '
        f'batch {results["batch_size"]}), the same seed '
        f'({results["seed"]}) and the same initial weights',
        f'(compared: sha256 {results["initial_weights"][:12]}). The teacher '
        f'was trained for {epochs["teacher"]} epochs.',
        f'COCO AP in percent on {results["validation_images"]} validation '
        'images; ms: median at batch 1, '
        f'{results["threads"]} thread(s), {results["device"]}.',
        'One seed, minutes of training: a small difference may be chance.',
    ]
    return '\n'.join(lines)
