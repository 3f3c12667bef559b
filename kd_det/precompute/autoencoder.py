"""Stage 1 of FT and IE-KD: an auto-encoder of the frozen teacher's maps."""

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
from kd_det.distillers import FactorDistiller
from kd_det.errors import UserError
from kd_det.losses.reconstruction import reconstruction
from kd_det.models import DistillModel
from kd_det.models.unwrap import unwrap
from kd_det.precompute.autoencoder_partial import keep, resume
from kd_det.precompute.autoencoder_progress import Progress, say
from kd_det.precompute.provenance import (
    package_versions,
    training_files,
    training_sha256,
)
from kd_det.preflight.data import check_data
from kd_det.registry import HOOKS, MODELS

OPTIMIZER = dict(momentum=0.9, nesterov=True, weight_decay=5e-4)


class AutoEncoderStage:
    """Train, or check, the auto-encoders that a config's distillers name.

    The teacher sees the training batches of the run, augmented. SGD with
    Nesterov momentum 0.9 and weight decay 5e-4 at a constant rate, as in
    the code of IE-KD and FT. After each epoch the state is kept beside the
    file, as ``FILE.partial``, and a run that was interrupted goes on there.

    Args:
        epochs: Over the training set.
        lr: Learning rate.
        p: 1 trains on the mean absolute difference, 2 on the mean square.
        seed: Of the first weights, the order and the augmentation.

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
        self, distillers: list[FactorDistiller], cfg: dict
    ) -> None:
        """Provide each, after looking at what can be known beforehand.

        Args:
            distillers: See :meth:`provide`.
            cfg: The run's config.

        Raises:
            UserError: A file cannot be written, is to serve two distillers
                that differ, or see :meth:`provide`.
        """
        data = dict(training_sha256=training_sha256(cfg))
        planned, missing = {}, []
        for distiller in distillers:
            file = distiller.auto_encoder_file
            if not _missing(file):
                self._reuse(distiller, data)
                continue
            missing.append(distiller)
            for path in (file, f'{file}.partial'):
                check_place(path)
            first = planned.setdefault(osp.realpath(file), distiller)
            if first.identity() != distiller.identity():
                raise UserError(
                    f'distillers.{first.name} and distillers.{distiller.name} '
                    f'both name {file!r} in auto_encoder, and differ in '
                    'points or channels; name a file each.'
                )
        for distiller in missing:
            self.provide(distiller, cfg)

    def provide(self, distiller: FactorDistiller, cfg: dict) -> None:
        """Train a distiller's auto-encoder, or check the file that is there.

        Args:
            distiller: Bound, on its device, with ``auto_encoder_file``.
            cfg: The run's config: its training data.

        Raises:
            UserError: The file is of another teacher, point, width or data.
        """
        file = distiller.auto_encoder_file
        data = dict(training_sha256=training_sha256(cfg))
        if not _missing(file):
            self._reuse(distiller, data)
            return
        say(
            f'Auto-encoder {file!r} is missing and is trained: '
            f'epochs={self.settings["epochs"]} of the teacher over '
            f'{", ".join(training_files(cfg))}.'
        )
        identity = dict(distiller.identity(), **data)
        with random_state.isolated():
            auto_encoder, error = self._train(distiller, cfg, identity)
        if get_rank() == 0:
            extra = dict(self.settings, reconstruction=error)
            save_auto_encoder(
                file,
                auto_encoder,
                dict(identity, **extra, versions=package_versions()),
            )
            # another run may have made the same file at the same time
            Path(f'{file}.partial').unlink(missing_ok=True)
        barrier()
        check_provenance(file, distiller.load_auto_encoder(), data)

    def _reuse(self, distiller: FactorDistiller, data: dict) -> None:
        """Read a file; tell how it was made, and if not as is asked."""
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
                'train it so'
            )
        say(f'{text}.', logging.WARNING if other else logging.INFO)

    def _train(
        self, distiller: FactorDistiller, cfg: dict, identity: dict
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
        loader = _loader(cfg, settings['seed'])
        progress = Progress(settings['epochs'], len(loader), done)
        teacher = distiller.teacher
        preprocessor = teacher.model.data_preprocessor
        for epoch in range(done, settings['epochs']):
            random_state.seed_all(settings['seed'] + epoch + 1000 * get_rank())
            # a batch sampler may hold what shuffles
            for sampler in (loader.sampler, loader.batch_sampler):
                sampler = getattr(sampler, 'sampler', sampler)
                if hasattr(sampler, 'set_epoch'):
                    sampler.set_epoch(epoch)
            total = torch.zeros(2, device=device)
            # those of loops that count iterations have no end
            for data in islice(loader, len(loader)):
                batch = preprocessor(data, False)
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
            teacher.check_finite({}, 'the auto-encoder')  # what came late
            _check_finite(error, settings['lr'])
            progress.epoch(error)
            if get_rank() == 0:
                keep(file, asked, epoch + 1, error, auto_encoder, optimizer)
        for value in auto_encoder.state_dict().values():
            broadcast(value)  # each rank has statistics of its own
        return auto_encoder, error


def stage_of(cfg: Config) -> AutoEncoderStage:
    """Return the stage as the config's ``AutoEncoderHook`` has it.

    Args:
        cfg: Of a run; the defaults without that hook.
    """
    for hook in cfg.get('custom_hooks') or []:
        if str(hook.get('type')).endswith('AutoEncoderHook'):
            return HOOKS.build(hook).stage
    return AutoEncoderStage()


def train_auto_encoders(cfg: Config) -> list[str]:
    """Make or check the auto-encoders that a config names; stage 1 alone.

    Args:
        cfg: Of a pair, from :func:`kd_det.api.launch.prepare`.

    Returns:
        The files.

    Raises:
        UserError: No distiller names one, or a file does not fit.
    """
    check_data(cfg, ('train',))
    stage = stage_of(cfg)
    require_teacher(cfg)
    model = MODELS.build(cfg.model).to(get_device())
    model._set_device(torch.device(get_device()))
    found = with_auto_encoder(model)
    if not found:
        raise UserError(
            'No distiller of the config names an auto-encoder; use one such '
            "as dict(type='FactorDistiller', auto_encoder='FILE.pth', …)."
        )
    stage.provide_all(found, cfg)
    for distiller in found:
        say(f'Ready: {distiller.auto_encoder_file}')
    return [distiller.auto_encoder_file for distiller in found]


def require_auto_encoders(runner: Runner) -> None:
    """Stop where a run needs an auto-encoder and nothing makes it.

    Args:
        runner: Before training.

    Raises:
        UserError: A file is missing, and so is the hook.
    """
    model = unwrap(runner.model)
    hooks = {type(hook).__name__ for hook in runner.hooks}
    if isinstance(model, DistillModel) and 'AutoEncoderHook' not in hooks:
        for distiller in with_auto_encoder(model):
            distiller.require_auto_encoder()


def with_auto_encoder(model) -> list[FactorDistiller]:
    """Return the distillers of a pair that need an auto-encoder's file."""
    return [
        distiller
        for distiller in model.distill.values()
        if getattr(distiller, 'auto_encoder_file', None)
        and 'teacher_factors' in distiller.asked
    ]


def _missing(file: str) -> bool:
    """Return whether a file is missing, as the first process sees it.

    Another run may write it at this moment: all ranks are to do the same.
    """
    missing = torch.tensor(not osp.isfile(file), device=get_device())
    broadcast(missing)
    return bool(missing)


def _loader(cfg: dict, seed: int) -> DataLoader:
    # workers that live on would not draw what a resumed training draws
    settings = dict(cfg['train_dataloader'], persistent_workers=False)
    loader = Runner.build_dataloader(settings, seed=seed)
    random_state.seed_workers(loader)
    if not len(loader):
        raise UserError(
            f'The train_dataloader has no batch: {len(loader.dataset)} '
            f'samples, batch_size={settings.get("batch_size")!r} and '
            'drop_last=True; take a smaller batch_size.'
        )
    return loader


def _check_finite(error: float, lr: float) -> None:
    if not math.isfinite(error):
        raise UserError(
            f'The auto-encoder diverges (its reconstruction is {error}); '
            f'lower the lr of AutoEncoderHook, which is {lr}.'
        )
