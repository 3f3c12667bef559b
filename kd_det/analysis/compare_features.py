"""Compare feature maps of a teacher and students: numbers and pictures."""

import copy
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.runner import Runner
from torch import nn

from kd_det import random_state
from kd_det.analysis import feature_pictures, features
from kd_det.analysis.capacity import draw_capacity, load_networks, run_facts
from kd_det.analysis.cka import KERNELS, MinibatchCKA
from kd_det.analysis.feature_probe import FeatureProbe
from kd_det.analysis.names import without_common
from kd_det.checkpoint import load_checkpoint
from kd_det.config import require_teacher
from kd_det.connectors.split import ChannelSplit
from kd_det.datasets.chosen import Chosen, classes_of, distinct, spread
from kd_det.datasets.run_data import RunData, Split
from kd_det.distillers import FeatureDistiller
from kd_det.distillers.class_match import ClassMatch
from kd_det.distillers.feature import SIDES
from kd_det.errors import UserError
from kd_det.files import atomic_write, check_folder
from kd_det.models import FrozenTeacher
from kd_det.models.loading import load_exactly
from kd_det.precompute.training_images import without_augmentation
from kd_det.preflight.data import check_data
from kd_det.progress import track
from kd_det.registry import MODELS

SPLIT_KEY = re.compile(r'distill\.[^.]+\.split\.((?:inherit|explore)\d+)$')


def analyze(
    cfg: Config,
    checkpoints: list[str],
    out: str | None = None,
    num_images: int = 1000,
    minibatch: int = 0,
    biased: bool = False,
    share: float = features.SHARE,
    others: Sequence[str] = (),
) -> Path:
    """Write ``features.json`` and pictures of what it says.

    For a classifier a sample is an image, represented by its channel means;
    for a detector it is an annotated object, represented by the mean over its
    box. The feature maps are those of the config's feature distiller. Students
    are analysed as a whole and by halves of channels, split as in their
    checkpoint or else as in the config. ``logits.png`` is for classifiers and
    detectors with one box head, ``regions.png`` for classifiers, and
    ``curves.png`` for checkpoints next to the logs of their runs.

    Args:
        cfg: Config of a pair, from :func:`kd_det.api.launch.prepare`.
        checkpoints: Checkpoints of its student, trained with any method.
        out: Output folder; default: the work directory.
        num_images: Number of test images, evenly spread over the test set.
        minibatch: Minibatch size for CKA; 0: all samples at once.
        biased: Whether to use the biased HSIC.
        share: Fraction of the largest contribution above which a channel is
            active.
        others: ``features.json`` of other analyses, whose networks are added
            to ``capacity.png``.

    Returns:
        Path of the JSON file.

    Raises:
        UserError: The config is not a pair or has no feature distiller, or a
            number is out of range.
    """
    if not 0 <= share < 1:
        raise UserError(f'--share {share}; a number from 0 to 1 is accepted.')
    if num_images < 4 or minibatch < 0 or 0 < minibatch < 4:
        raise UserError(
            f'--num-images {num_images}, --minibatch {minibatch}; at least 4 '
            'is accepted, or 0 for all samples at once.'
        )
    folder = Path(out or cfg.work_dir)
    check_folder(str(folder), 'folder of the results', '--out')
    called = titles(checkpoints)
    analyses = [load_networks(file) for file in others]
    data = RunData(cfg)
    held_out = data.held_out('A comparison of features')
    check_data(data, (held_out.name,))
    model, distiller = _pair(cfg)
    loader, names = _loader(held_out, num_images)
    match = feature_pictures.common_classes(
        tuple(names), distiller.teacher.classes
    )
    paths = dict(zip(called, checkpoints))
    nets = _probes(model.student, distiller, paths, match)
    for data in track(loader, 'Features'):
        for net in nets.values():
            net.look(data)
    content, tables, norms, counts = _compare(
        nets, names, minibatch, biased, share
    )
    features.draw_cka(folder / 'cka.png', tables, content['representations'])
    labels = nets['teacher'].labels().numpy()
    features.draw_norms(folder / 'norms.png', norms, labels, names)
    features.draw_active(folder / 'active.png', counts)
    runs = {
        name: features.read_curves(Path(path).parent)
        for name, path in paths.items()
    }
    if any(curves['eval'] for curves in runs.values()):
        features.draw_curves(folder / 'curves.png', runs)
        content['curves'] = runs
    common = [] if match is None else [*match.names]
    dataset = loader.dataset
    content |= dict(
        images=len(dataset),
        logits=feature_pictures.write_logits(folder, nets, common),
        projection=feature_pictures.write_projection(folder, nets, names),
        attention=feature_pictures.write_attention(folder, nets, dataset),
        ambiguous=feature_pictures.write_regions(
            folder, nets['teacher'], match, dataset
        ),
        networks=_networks(model.student, distiller.teacher, paths, norms),
    )
    draw_capacity(folder / 'capacity.png', [content['networks'], *analyses])
    file = folder / 'features.json'
    with atomic_write(file) as handle:
        handle.write(json.dumps(content, indent=1).encode())
    print(f'Wrote {file} and pictures to the same folder')
    return file


def _probes(
    student: nn.Module,
    distiller: FeatureDistiller,
    paths: dict[str, str],
    match: ClassMatch | None,
) -> dict[str, FeatureProbe]:
    """Return title -> network with its weights, the teacher first."""
    columns = dict.fromkeys(SIDES)
    if match is not None:
        columns = {k: match.index(k, match.counts[k]).cpu() for k in SIDES}
    nets = {
        'teacher': FeatureProbe(
            distiller.teacher.model, distiller, 'teacher', columns['teacher']
        )
    }
    for name, path in paths.items():
        state = load_checkpoint(path)
        network = copy.deepcopy(student)
        load_exactly(network, state, path, 'student')
        nets[name] = FeatureProbe(
            network, distiller, 'student', columns['student']
        )
        nets[name].split, remembered = _split_of(state, distiller)
        if not remembered:  # trained without a split
            nets[name].halves = 'half 1', 'half 2'
    return nets


def _networks(
    student: nn.Module,
    teacher: FrozenTeacher,
    paths: dict[str, str],
    norms: dict[str, np.ndarray],
) -> dict[str, dict]:
    """Return title -> size, mean norm, method and score of each network."""
    size = sum(p.numel() for p in student.parameters())
    facts = {'teacher': (teacher.ckpt, teacher.size)}
    facts |= {name: (path, size) for name, path in paths.items()}
    return {
        name: dict(
            parameters=count, norm=float(norms[name].mean()), **run_facts(path)
        )
        for name, (path, count) in facts.items()
    }


def _pair(cfg: Config) -> tuple:
    require_teacher(cfg)
    device = get_device()
    for part in (cfg.model.get('distillers') or {}).values():
        # feature maps are compared, not factors, so the auto-encoder is not
        # needed
        if part.get('auto_encoder'):
            part['auto_encoder'] = os.devnull
    model = MODELS.build(cfg.model).to(device).eval()
    found = [d for d in model.distill.values() if hasattr(d, 'levels')]
    found = [d for d in found if isinstance(d, FeatureDistiller)]
    if not found:
        raise UserError(
            'The config has no feature map distiller to define which maps to '
            'compare; use one with a FactorDistiller or a FeatureDistiller, '
            "e.g. 'configs/cifar/iekd_resnet56_resnet20_cifar10.py'."
        )
    return model, found[0]


def _loader(split: Split, num_images: int) -> tuple:
    # boxes are to be resized with their image
    dataset = split.build(lambda own: without_augmentation(own, own))
    names = list(classes_of(dataset))
    loader = Runner.build_dataloader(
        dict(
            batch_size=split.loader.get('batch_size', 1),
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=Chosen(dataset, spread(distinct(dataset), num_images)),
        )
    )
    return loader, names


def _split_of(
    state: dict, distiller: FeatureDistiller
) -> tuple[ChannelSplit, bool]:
    """Return the split stored in a checkpoint, or else the config's."""
    ours, _ = distiller.channels('student_feats')
    settings = getattr(distiller, 'split_cfg', {})
    with random_state.isolated():
        split = ChannelSplit(ours, **settings)
    own = getattr(distiller, 'split', None)
    if own is not None:
        split.load_state_dict(own.state_dict())
    found = {
        match[1]: value
        for key, value in state.get('state_dict', state).items()
        if (match := SPLIT_KEY.match(str(key)))
    }
    remembered = found.keys() == split.state_dict().keys()
    if remembered:
        for name, value in found.items():
            setattr(split, name, value)
    return split, remembered


def _compare(
    nets: dict[str, FeatureProbe],
    names: list[str],
    minibatch: int,
    biased: bool,
    share: float,
) -> tuple[dict, dict, dict, dict]:
    content = dict(samples=len(nets['teacher'].labels()), levels=[])
    tables, norms, counts = {}, {}, {}
    for level in range(len(nets['teacher'].levels)):
        rows, level_counts, level_norms = {}, {}, {}
        for name, net in nets.items():
            x = torch.cat(net.rows[level])
            level_norms[name] = x.norm(dim=1)
            if not level_norms[name].isfinite().all():
                raise UserError(
                    f'The feature maps of {name!r} at '
                    f'{[*net.points.values()]} are not finite or too large: '
                    'training diverged; use an earlier checkpoint.'
                )
            given = torch.cat(net.given[level]).double().mean(0)
            is_active = features.active(given, share)
            for part, own in net.parts(level).items():
                title = f'{name}{part}'
                rows[title] = x[:, own]
                level_counts[title] = dict(
                    active=int(is_active[own].sum()),
                    of=len(own),
                    effective=features.effective(given[own]),
                )
        entry = dict(
            active=level_counts,
            norms={
                k: features.norm_table(v, nets['teacher'].labels(), names)
                for k, v in level_norms.items()
            },
            cka={},
        )
        for kernel in KERNELS:
            cka = MinibatchCKA(kernel, debiased=not biased)
            for part in _parts(len(x), minibatch):
                cka.update([own[part] for own in rows.values()])
            entry['cka'][kernel] = cka.matrix().tolist()
            title = f'{kernel} CKA, stride {nets["teacher"].strides[level]}'
            tables[title] = cka.matrix().numpy()
        content['levels'].append(entry)
        content['representations'] = [*rows]
        # of the deepest level, the last of the loop
        norms = {k: v.numpy() for k, v in level_norms.items()}
        counts = level_counts
    return content, tables, norms, counts


def _parts(count: int, minibatch: int) -> list[slice]:
    if count < 4:
        raise UserError(
            f'CKA needs at least 4 samples, the test data gave {count}; '
            'increase --num-images, or use a larger test set.'
        )
    step = minibatch or count
    # without the remainder, since minibatches of equal size have equal bias
    return [
        slice(first, first + step)
        for first in range(0, count - step + 1, step)
    ] or [slice(0, count)]


def titles(checkpoints: list[str]) -> list[str]:
    """Return short names for checkpoints: the differing part of their paths.

    ``runs/iekd_r20/seed0/epoch_30.pth`` is ``iekd`` next to
    ``runs/ft_r20/seed0/epoch_30.pth``; a single checkpoint is named after its
    folder, or the folder above that of a seed.

    Args:
        checkpoints: Paths of the checkpoints.

    Raises:
        UserError: A checkpoint is given twice.
    """
    paths = [Path(path).absolute() for path in checkpoints]
    twice = [p for k, p in enumerate(checkpoints) if paths[k] in paths[:k]]
    if twice:
        raise UserError(
            f'Checkpoint {twice[0]!r} is given twice; list each one once.'
        )
    parts = [[*path.parts[:-1], path.stem] for path in paths]
    if len(parts) == 1:
        above = [paths[0].parent.name, paths[0].parent.parent.name]
        parts = [[above[above[0].startswith('seed')]]]
    parts = without_common(without_common(parts, 0), -1)
    if all(len(own) == 1 for own in parts):
        words = without_common([own[0].split('_') for own in parts], -1)
        parts = [['_'.join(own)] for own in words]
    names = ['/'.join(own) for own in parts]
    # one picture includes the teacher
    return ['run teacher' if name == 'teacher' else name for name in names]
