"""Fill a cache with a teacher's answers, and tell whether it pays."""

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from mmengine.dist import barrier, get_rank, get_world_size
from mmengine.logging import print_log
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from kd_det import random_state
from kd_det.config import require_teacher
from kd_det.datasets.run_data import RunData
from kd_det.datasets.types import without_views
from kd_det.datasets.views import SeededViews
from kd_det.distillers import LogitDistiller
from kd_det.errors import UserError, counted
from kd_det.files import check_folder
from kd_det.preflight.data import check_data
from kd_det.progress import duration, track
from kd_det.registry import MODELS

BATCH = 128
MEASURED = 3  # batches
CHECKED = 16  # images per epoch
# largest accepted change of an answer, relative to the largest number
TOLERANCE = 1e-2


def use_views(cfg: Config) -> None:
    """Give the training set of a run with a cache its views, and the hook.

    Args:
        cfg: Config of a pair, changed in place.

    Raises:
        UserError: Several caches have other views.
    """
    specs = (cfg.model.get('distillers') or {}).values()
    caches = [
        s['cache'] for s in specs if isinstance(s, dict) and 'cache' in s
    ]
    caches = [cache for cache in caches if isinstance(cache, dict)]
    if not caches or not cfg.get('train_dataloader'):
        return
    views = [
        {key: cache[key] for key in ('views', 'seed') if key in cache}
        for cache in caches
    ]
    if any(one != views[0] for one in views):
        raise UserError(
            f'The caches of the distillers have other views ({views}), but '
            'a step has one view of an image; write the same views and seed.'
        )
    loader = cfg.train_dataloader
    inner = without_views(loader.dataset)
    loader.dataset = dict(type='kd_det.SeededViews', dataset=inner, **views[0])
    hooks = cfg.get('custom_hooks') or []
    if not any('AnswerCacheHook' in str(hook.get('type')) for hook in hooks):
        cfg.custom_hooks = [*hooks, dict(type='kd_det.AnswerCacheHook')]


def cached(model) -> list[LogitDistiller]:
    """Return the distillers of a pair that have a cache."""
    distillers = model.distill.values()
    return [one for one in distillers if getattr(one, 'cache', None)]


@dataclass(frozen=True)
class Plan:
    """What a cache takes, and when it has paid.

    Attributes:
        folder: Its folder.
        images: Number of images.
        views: Views per image.
        size: Bytes on disk.
        data: Seconds to load an image, on one worker.
        teacher: Seconds of the teacher for an image.
        workers: Workers that load images.
        epochs: Epochs of the run.
    """

    folder: str
    images: int
    views: int
    size: int
    data: float
    teacher: float
    workers: int
    epochs: float

    @property
    def seconds(self) -> float:
        """Time to build it."""
        loading = self.data / max(self.workers, 1)
        return self.images * self.views * (self.teacher + loading)

    @property
    def break_even(self) -> float:
        """Epochs after which the teacher would have run for as long."""
        return self.seconds / (self.images * self.teacher)

    @property
    def pays(self) -> bool:
        """Whether the run is longer than that."""
        return self.break_even < self.epochs

    def __str__(self) -> str:
        verdict = (
            'it pays' if self.pays else 'it does not pay: leave cache out'
        )
        return (
            f'Cache {self.folder!r}: {counted(self.views, "view")} of '
            f'{counted(self.images, "image")}, {self.size / 2**20:.1f} MiB, '
            f'{duration(self.seconds)} to build; the teacher takes '
            f'{duration(self.images * self.teacher)} an epoch, so that the '
            f'cache breaks even after {self.break_even:.1f} of '
            f'{self.epochs:g} epochs: {verdict}.'
        )


def plan_of(
    distiller: LogitDistiller, dataset: SeededViews, cfg: Config
) -> Plan:
    """Measure a few batches and return what a cache takes.

    Args:
        distiller: Bound distiller with a cache, on its device.
        dataset: The training set in views.
        cfg: Config of the run.
    """
    cache, images = distiller.cache, len(dataset)
    loaded = answered = 0.0
    count = 0
    with random_state.isolated():
        for number in range(MEASURED + 1):
            begin = time.perf_counter()
            rows = range(BATCH * number, BATCH * (number + 1))
            samples = [dataset.view(row % images, 0) for row in rows]
            half = time.perf_counter()
            _answers(distiller, pseudo_collate(samples))
            if number:  # the first warms up
                loaded += half - begin
                answered += time.perf_counter() - half
                count += len(samples)
    loop = cfg.get('train_cfg') or {}
    batch = cfg.train_dataloader.get('batch_size', 1) * get_world_size()
    epochs = (
        loop.get('max_epochs') or loop.get('max_iters', 0) * batch / images
    )
    return Plan(
        cache.folder,
        images,
        cache.views,
        cache.size(images),
        loaded / count,
        answered / count,
        cfg.train_dataloader.get('num_workers', 0),
        epochs,
    )


def provide(
    distiller: LogitDistiller, dataset: SeededViews, cfg: Config, data: RunData
) -> None:
    """Open a distiller's cache; what is missing of it is computed first.

    Args:
        distiller: Bound distiller with a cache, on its device.
        dataset: The training set in views.
        cfg: Config of the run.
        data: Its data.

    Raises:
        UserError: The files belong to something else or are damaged, the
            training set has other views, or the folder cannot be written.
    """
    cache = distiller.cache
    views = getattr(dataset, 'views', None), getattr(dataset, 'seed', None)
    if views != (cache.views, cache.seed):
        raise UserError(
            f'The cache {cache.folder!r} is of {cache.views} views at seed '
            f'{cache.seed}, but the training set has {views[0]} at seed '
            f'{views[1]}; start with `kd_det train`, which gives it these.'
        )
    identity = identity_of(distiller, dataset, data)
    missing = cache.open(identity)
    barrier()  # no rank writes before all have looked
    if not missing:
        print_log(f'Cache {cache.folder!r} is reused.', 'current')
        return
    check_folder(cache.folder, 'cache', 'cache.folder')
    print_log(str(plan_of(distiller, dataset, cfg)), 'current')
    if get_rank() == 0:
        cache.describe(identity)
    own = missing[get_rank() :: get_world_size()]
    workers = cfg.train_dataloader.get('num_workers', 0)
    with random_state.isolated():
        for number, values in _computed(distiller, dataset, own, workers):
            cache.write(number, values)
    barrier()
    cache.open(identity)


def check(distiller: LogitDistiller, dataset: SeededViews, epoch: int) -> None:
    """Compare some rows of a cache with what the teacher answers now.

    Args:
        distiller: Bound distiller with an open cache.
        dataset: The training set in views.
        epoch: Other rows are compared in each.

    Raises:
        UserError: They differ.
    """
    cache = distiller.cache
    rng = np.random.default_rng([cache.seed, epoch])
    indices = rng.integers(len(dataset), size=CHECKED).tolist()
    views = [*zip(indices, rng.integers(cache.views, size=CHECKED).tolist())]
    with random_state.isolated():
        samples = [dataset.view(*view) for view in views]
        live = _answers(distiller, pseudo_collate(samples))
    for field, kept in cache.read(views).items():
        change = (live[field] - kept).abs().max() / kept.abs().max()
        if not change <= TOLERANCE:
            raise UserError(
                f'{field} in the cache {cache.folder!r} differ from those of '
                f'the teacher by {change:.2g} of the largest: the images or '
                'the packages that augment them have changed; delete the '
                'folder to compute it again.'
            )


def identity_of(
    distiller: LogitDistiller, dataset: SeededViews, data: RunData
) -> dict:
    """Return what the rows of a distiller's cache belong to."""
    probe = torch.arange(3 * 37 * 53) % 251
    probe = probe.to(torch.uint8).reshape(3, 37, 53)
    preprocessor = distiller.teacher.model.data_preprocessor
    seen = preprocessor(dict(inputs=[probe], data_samples=None))['inputs']
    pipelines = [leaf.cfg['pipeline'] for leaf in data.train.leaves]
    text = json.dumps(pipelines, sort_keys=True, default=str)
    return dict(
        teacher=distiller.teacher.sha256,
        preprocessing=_sha256(seen.cpu().numpy().tobytes()),
        data=data.train.sha256,
        pipeline=_sha256(text.encode()),
        images=len(dataset),
        views=dataset.views,
        seed=dataset.seed,
        fields=distiller.cache.fields,
    )


def write_caches(cfg: Config, only_plan: bool = False) -> None:
    """Compute the caches of a config, or print what they would take.

    Args:
        cfg: Config from :func:`kd_det.api.launch.prepare`.
        only_plan: Compute nothing.

    Raises:
        UserError: No distiller has a cache, or see :func:`provide`.
    """
    data = RunData(cfg)
    check_data(data, ('train',))
    require_teacher(cfg)
    model = MODELS.build(cfg.model).to(get_device())
    found = cached(model)
    if not found:
        raise UserError(
            'No distiller of the config has a cache; add '
            "cache=dict(folder='data/cache/NAME') to a LogitDistiller."
        )
    dataset = data.train.build()
    for distiller in found:
        if only_plan:
            print(plan_of(distiller, dataset, cfg))
        else:
            provide(distiller, dataset, cfg, data)


class _Rows(Dataset):
    """The views by the number of their row in a cache."""

    def __init__(self, dataset: SeededViews) -> None:
        self.dataset = dataset

    def __getitem__(self, row: int) -> dict:
        view, index = divmod(row, len(self.dataset))
        return self.dataset.view(index, view)


def _computed(
    distiller: LogitDistiller,
    dataset: SeededViews,
    numbers: list[int],
    workers: int,
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield number and rows of some shards."""
    rows = {number: distiller.cache.rows_of(number) for number in numbers}
    # no batch is part of two shards
    order = [
        [*own[begin : begin + BATCH]]
        for own in rows.values()
        for begin in range(0, len(own), BATCH)
    ]
    loader = DataLoader(
        _Rows(dataset),
        batch_sampler=order,
        num_workers=workers,
        collate_fn=pseudo_collate,
    )
    silent = get_rank() != 0
    batches = track(loader, 'Teacher answers', len(loader), silent)
    for number, own in rows.items():
        parts = [
            torch.cat([*_answers(distiller, batch).values()], dim=1).numpy()
            for batch in islice(batches, -(-len(own) // BATCH))
        ]
        yield number, np.concatenate(parts)


def _answers(distiller: LogitDistiller, data: dict) -> dict[str, Tensor]:
    batch = distiller.teacher.model.data_preprocessor(data, False)
    found = distiller.answers(batch['inputs'])
    return {field: rows.float().cpu() for field, rows in found.items()}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
