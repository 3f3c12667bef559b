"""Stage 1 of FT and IE-KD: train the teacher's auto-encoder."""

import logging
import math
import os.path as osp
from itertools import islice
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import (
    all_reduce,
    all_reduce_params,
    barrier,
    broadcast,
    get_rank,
)
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from kd_det import random_state
from kd_det.checks import check_choice, check_count, check_positive
from kd_det.config import require_teacher
from kd_det.connectors.autoencoder_file import (
    check_place,
    check_provenance,
    save_auto_encoder,
)
from kd_det.connectors.coder import AutoEncoder
from kd_det.datasets.run_data import RunData
from kd_det.distillers import FactorDistiller
from kd_det.errors import UserError
from kd_det.losses.reconstruction import reconstruction
from kd_det.models import DistillModel
from kd_det.models.unwrap import unwrap
from kd_det.precompute.autoencoder_partial import keep, resume
from kd_det.precompute.autoencoder_progress import Progress, say
from kd_det.precompute.provenance import package_versions
from kd_det.preflight.data import check_data
from kd_det.registry import HOOKS, MODELS

OPTIMIZER = dict(momentum=0.9, nesterov=True, weight_decay=5e-4)


class AutoEncoderStage:
    """Train or check the auto-encoders of a config's distillers.

    Uses the run's augmented training batches and, as in the code of IE-KD and
    FT, SGD with Nesterov momentum 0.9, weight decay 5e-4 and a constant
    learning rate. After each epoch the state is saved as ``FILE.partial``,
    from which interrupted training is resumed.

    Args:
        epochs: Number of epochs over the training set.
        lr: Learning rate.
        p: Reconstruction loss; 1: mean absolute error, 2: mean squared error.
        seed: Seed for initial weights, data order and augmentation.

    Raises:
        UserError: An argument is out of range.
    """

    def __init__(
        self, epochs: int = 30, lr: float = 0.1, p: int = 1, seed: int = 0
    ) -> None:
        what = 'Auto-encoder'
        self.settings = dict(
            epochs=check_count(what, 'epochs', epochs, least=1),
            lr=check_positive(what, 'lr', lr),
            p=check_choice(what, 'p', p, (1, 2)),
            seed=check_count(what, 'seed', seed, least=0),
        )

    def provide_all(
        self, distillers: list[FactorDistiller], cfg: Config | RunData
    ) -> None:
        """Provide all auto-encoders, after checking them in advance.

        Args:
            distillers: Bound distillers, see :meth:`provide`.
            cfg: Config of the run, or its data.

        Raises:
            UserError: A file cannot be written or is shared by two different
                distillers, or see :meth:`provide`.
        """
        data = RunData.of(cfg)
        origin = dict(training_sha256=data.train.sha256)
        planned, missing = {}, []
        for distiller in distillers:
            file = distiller.auto_encoder_file
            if not _missing(file):
                self._reuse(distiller, origin)
                continue
            missing.append(distiller)
            for path in (file, f'{file}.partial'):
                check_place(path)
            first = planned.setdefault(osp.realpath(file), distiller)
            if first.identity() != distiller.identity():
                raise UserError(
                    f'distillers.{first.name} and '
                    f'distillers.{distiller.name} both use the auto_encoder '
                    f'{file!r}, but differ in tap points or channels; use '
                    'separate files.'
                )
        for distiller in missing:
            self.provide(distiller, data)

    def provide(
        self, distiller: FactorDistiller, cfg: Config | RunData
    ) -> None:
        """Train a distiller's auto-encoder, or check an existing file.

        Args:
            distiller: Bound distiller on its device, with
                ``auto_encoder_file``.
            cfg: Config of the run, or its data.

        Raises:
            UserError: Teacher, tap points, channels or data do not match the
                file.
        """
        file = distiller.auto_encoder_file
        data = RunData.of(cfg)
        origin = dict(training_sha256=data.train.sha256)
        if not _missing(file):
            self._reuse(distiller, origin)
            return
        say(
            f'Auto-encoder {file!r} is missing and will be trained: '
            f'epochs={self.settings["epochs"]} over '
            f'{", ".join(data.train.sources)}.'
        )
        identity = dict(distiller.identity(), **origin)
        with random_state.isolated():
            auto_encoder, error = self._train(distiller, data, identity)
        if get_rank() == 0:
            extra = dict(self.settings, reconstruction=error)
            save_auto_encoder(
                file,
                auto_encoder,
                dict(identity, **extra, versions=package_versions()),
            )
            # another run may have written the same file in the meantime
            Path(f'{file}.partial').unlink(missing_ok=True)
        barrier()
        check_provenance(file, distiller.load_auto_encoder(), origin)

    def _reuse(self, distiller: FactorDistiller, data: dict) -> None:
        """Read a file and log its settings; warn if they differ."""
        file = distiller.auto_encoder_file
        provenance = distiller.load_auto_encoder()
        check_provenance(file, provenance, data)
        shown = [*self.settings, 'reconstruction']
        made = [f'{k}={provenance[k]:.5g}' for k in shown if k in provenance]
        other = [
            f'{key}={value}'
            for key, value in self.settings.items()
            if key in provenance and provenance[key] != value
        ]
        text = f'Auto-encoder {file!r} is reused ({", ".join(made)})'
        if other:
            text += (
                f'; the config has {", ".join(other)}: delete the file to '
                'train with these'
            )
        say(f'{text}.', logging.WARNING if other else logging.INFO)

    def _train(
        self, distiller: FactorDistiller, data: RunData, identity: dict
    ) -> tuple[AutoEncoder, float]:
        settings = self.settings
        torch.manual_seed(settings['seed'])
        device = next(distiller.teacher.model.parameters()).device
        auto_encoder = distiller.new_auto_encoder().to(device).train()
        for value in auto_encoder.state_dict().values():
            broadcast(value)
        optimizer = torch.optim.SGD(
            auto_encoder.parameters(), settings['lr'], **OPTIMIZER
        )
        file = f'{distiller.auto_encoder_file}.partial'
        asked = dict(identity, **settings)
        done, error = resume(file, asked, auto_encoder, optimizer)
        loader = _loader(data, settings['seed'])
        progress = Progress(settings['epochs'], len(loader), done)
        teacher = distiller.teacher
        preprocessor = teacher.model.data_preprocessor
        for epoch in range(done, settings['epochs']):
            random_state.seed_all(settings['seed'] + epoch + 1000 * get_rank())
            # a batch sampler may contain the shuffling sampler
            for sampler in (loader.sampler, loader.batch_sampler):
                sampler = getattr(sampler, 'sampler', sampler)
                if hasattr(sampler, 'set_epoch'):
                    sampler.set_epoch(epoch)
            total = torch.zeros(2, device=device)
            # samplers of iteration-based loops are infinite
            for raw in islice(loader, len(loader)):
                batch = preprocessor(raw, False)
                maps, masks = distiller.teacher_maps(
                    batch['inputs'], batch['data_samples']
                )
                teacher.check_finite(dict(maps=maps), 'the auto-encoder')
                loss = reconstruction(
                    auto_encoder(maps, masks), maps, masks, settings['p']
                )
                optimizer.zero_grad()
                loss.backward()
                all_reduce_params(
                    [p.grad for p in auto_encoder.parameters()], op='mean'
                )
                optimizer.step()
                total += torch.stack([loss.detach(), torch.ones_like(loss)])
                progress.step(total)
            all_reduce(total)
            error = (total[0] / total[1]).item()
            teacher.check_finite({}, 'the auto-encoder')  # of the last steps
            _check_finite(error, settings['lr'])
            progress.epoch(error)
            if get_rank() == 0:
                keep(file, asked, epoch + 1, error, auto_encoder, optimizer)
        for value in auto_encoder.state_dict().values():
            broadcast(value)  # each rank has its own statistics
        return auto_encoder, error


def stage_of(cfg: Config) -> AutoEncoderStage:
    """Return the stage with the settings of the config's hook.

    Args:
        cfg: Config of a run; without ``AutoEncoderHook``, defaults are used.
    """
    for hook in cfg.get('custom_hooks') or []:
        if str(hook.get('type')).endswith('AutoEncoderHook'):
            return HOOKS.build(hook).stage
    return AutoEncoderStage()


def train_auto_encoders(cfg: Config) -> list[str]:
    """Run stage 1 only: train or check a config's auto-encoders.

    Args:
        cfg: Config of a pair, from :func:`kd_det.api.launch.prepare`.

    Returns:
        Paths of the auto-encoder files.

    Raises:
        UserError: No distiller has an auto-encoder, or a file does not match.
    """
    data = RunData(cfg)
    check_data(data, ('train',))
    stage = stage_of(cfg)
    require_teacher(cfg)
    model = MODELS.build(cfg.model).to(get_device())
    found = with_auto_encoder(model)
    if not found:
        raise UserError(
            'No distiller of the config has an auto-encoder; use one such as '
            "dict(type='FactorDistiller', auto_encoder='FILE.pth', …)."
        )
    stage.provide_all(found, data)
    for distiller in found:
        say(f'Ready: {distiller.auto_encoder_file}')
    return [distiller.auto_encoder_file for distiller in found]


def require_auto_encoders(runner: Runner) -> None:
    """Raise if a required auto-encoder is missing and no hook trains it.

    Args:
        runner: Runner before training.

    Raises:
        UserError: A file and the hook are missing.
    """
    model = unwrap(runner.model)
    hooks = {type(hook).__name__ for hook in runner.hooks}
    if isinstance(model, DistillModel) and 'AutoEncoderHook' not in hooks:
        for distiller in with_auto_encoder(model):
            distiller.require_auto_encoder()


def with_auto_encoder(model) -> list[FactorDistiller]:
    """Return the distillers of a pair that need an auto-encoder file."""
    return [
        distiller
        for distiller in model.distill.values()
        if getattr(distiller, 'auto_encoder_file', None)
        and 'teacher_factors' in distiller.asked
    ]


def _missing(file: str) -> bool:
    """Return whether a file is missing on rank 0.

    Another run may be writing it right now, so all ranks use rank 0's answer.
    """
    missing = torch.tensor(not osp.isfile(file), device=get_device())
    broadcast(missing)
    return bool(missing)


def _loader(data: RunData, seed: int) -> DataLoader:
    # persistent workers would not be reproducible on resume
    settings = dict(data.train.loader, persistent_workers=False)
    loader = Runner.build_dataloader(settings, seed=seed)
    random_state.seed_workers(loader)
    if not len(loader):
        raise UserError(
            f'The train_dataloader has no batch: {len(loader.dataset)} '
            f'samples, batch_size={settings.get("batch_size")!r} and '
            'drop_last=True; use a smaller batch_size.'
        )
    return loader


def _check_finite(error: float, lr: float) -> None:
    if not math.isfinite(error):
        raise UserError(
            'The auto-encoder diverged (its reconstruction error is '
            f'{error}); reduce the lr of AutoEncoderHook, which is {lr}.'
        )
