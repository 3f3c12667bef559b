"""Compute class means with one pass of the teacher over the training set."""

from itertools import islice

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import all_reduce, get_rank
from mmengine.logging import print_log
from torch import Tensor

from kd_det import random_state
from kd_det.centroids import CentroidBank
from kd_det.config import require_teacher
from kd_det.datasets.chosen import classes_of
from kd_det.datasets.run_data import RunData
from kd_det.distillers import Distiller
from kd_det.errors import UserError
from kd_det.files import check_output
from kd_det.precompute.provenance import package_versions
from kd_det.precompute.training_images import training_loader
from kd_det.preflight.data import check_data
from kd_det.progress import track
from kd_det.registry import MODELS

SOURCES = ('gt', 'proposals')


def write_centroids(
    cfg: Config,
    source: str | None = None,
    augmented: bool = False,
    out: str | None = None,
    seed: int = 0,
) -> str:
    """Compute and write the class means of a config.

    Args:
        cfg: Config from :func:`kd_det.api.launch.prepare`.
        source: ``'gt'`` or ``'proposals'``; default: as needed by the losses.
        augmented: Whether to use the training pipeline.
        out: File to write; default: the file set in the config.
        seed: Seed for proposal sampling and augmentation.

    Returns:
        Path of the written file.

    Raises:
        UserError: The config has no distiller or no output file.
    """
    data = RunData(cfg)
    check_data(data, ('train',))
    require_teacher(cfg)
    distillers = cfg.model.get('distillers') or {}
    if not distillers:
        raise UserError(
            'The config has no distiller; add one such as '
            "distillers=dict(roi=dict(type='RoIDistiller', …))."
        )
    named = [n for n, spec in distillers.items() if 'centroids' in spec]
    name = (named or [*distillers])[0]
    spec = distillers[name]
    out = out or spec.get('centroids')
    if not out:
        raise UserError(
            f'Distiller {name!r} has no centroid file; pass --out FILE.npz.'
        )
    check_output(out)
    spec.centroids = f'{out}.new'  # an old file must not be verified
    model = MODELS.build(cfg.model).to(get_device())
    distiller = model.distill[name]
    source = source or distiller.default_source()
    bank = compute_bank(distiller, data, source, augmented, seed)
    if get_rank() == 0:
        bank.save(out)
        print(f'Wrote {out}')
    return out


def compute_bank(
    distiller: Distiller,
    cfg: Config | RunData,
    source: str = 'gt',
    augmented: bool = False,
    seed: int = 0,
) -> CentroidBank:
    """Average the teacher's embeddings over the training set by class.

    Each image has its own random seed and sums are in float64, so the result
    does not depend on the number of ranks or workers that share the work.
    Detectors process one image at a time.

    Args:
        distiller: Bound distiller that computes the embeddings.
        cfg: Config of the run, or its data.
        source: ``'gt'`` for annotated boxes, ``'proposals'`` for sampled RoIs
            with background.
        augmented: Whether to use the training pipeline, as in the ND authors'
            code, instead of the deterministic test pipeline.
        seed: Seed for proposal sampling and augmentation of each image.

    Returns:
        The class means, identical on every rank.

    Raises:
        UserError: The source is unknown, there are no embeddings, or an
            embedding is not finite.
    """
    if source not in SOURCES:
        raise UserError(f'source={source!r}; accepted are {SOURCES}.')
    data = RunData.of(cfg)
    with random_state.isolated():
        loader = training_loader(
            data, augmented, seed, distiller.images_at_once
        )
        sums, counts, norms = _accumulate(distiller, loader, source, seed)
    if counts.sum() == 0:
        raise UserError(
            'No labelled samples were found in '
            f'{", ".join(data.train.sources)}: the category ids match none '
            'of the classes, or there are none.'
        )
    means = sums / counts.clamp(min=1)[:, None]
    classes = classes_of(loader.dataset)
    if len(means) == len(classes) + 1:
        classes += ('background',)
    bank = CentroidBank(
        means.float().numpy(),
        counts.long().numpy(),
        classes,
        dict(
            teacher_sha256=distiller.teacher.sha256,
            teacher_config=distiller.teacher.source,
            annotation_sha256=data.train.sha256,
            source=source,
            augmented=augmented,
            seed=seed,
            versions=package_versions(),
        ),
        (norms[:, 0] / counts.clamp(min=1)).float().numpy(),
    )
    print_log(norm_table(bank, norms), 'current')
    return bank


def _accumulate(
    distiller: Distiller, loader, source: str, seed: int
) -> tuple[Tensor, Tensor, Tensor]:
    expected = distiller.expected_bank()
    rows, width = expected['num_rows'], expected['width']
    sums = torch.zeros(rows, width, dtype=torch.float64)
    # count, sum and sum of squares of the norms
    scalars = torch.zeros(rows, 3, dtype=torch.float64)
    preprocessor = distiller.teacher.model.data_preprocessor
    first = islice(loader.sampler, 0, None, loader.batch_size)
    batches = track(
        zip(first, loader),
        'Teacher embeddings',
        total=len(loader),
        silent=get_rank() != 0,
    )
    for index, data in batches:
        # each image (of a detector) has its own seed, on any rank
        torch.manual_seed(seed + index)
        batch = preprocessor(data, False)
        embed, labels = distiller.teacher_samples(
            batch['inputs'], batch['data_samples'], source
        )
        embed, labels = embed.cpu(), labels.cpu()
        distiller.teacher.check_finite(
            dict(embeddings=embed), 'its class means'
        )
        embed = embed.double()
        norm = embed.norm(dim=1)
        sums.index_add_(0, labels, embed)
        scalars.index_add_(
            0, labels, torch.stack([norm**0, norm, norm**2], dim=1)
        )
    for table in (sums, scalars):
        all_reduce(table)
    return sums, scalars[:, 0], scalars[:, 1:]


def norm_table(bank: CentroidBank, norms: Tensor) -> str:
    """Format count, mean and standard deviation of the norms as a table."""
    lines = [f'{"class":<24}{"count":>9}{"norm":>9}{"± std":>9}{"|mean|":>9}']
    lengths = torch.from_numpy(bank.centroids).norm(dim=1)
    for name, count, (total, squares), length in zip(
        bank.classes, bank.counts, norms.tolist(), lengths.tolist()
    ):
        if count == 0:
            lines.append(f'{name:<24}{0:>9}  no samples: no centroid')
            continue
        mean = total / count
        std = max(squares / count - mean**2, 0) ** 0.5
        lines.append(
            f'{name:<24}{count:>9}{mean:>9.3f}{std:>9.3f}{length:>9.3f}'
        )
    return 'Norms of the teacher embeddings\n' + '\n'.join(lines)
