"""Stage 1 of FT and IE-KD: an auto-encoder of the frozen teacher's maps."""

import logging
import os.path as osp
import time
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
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor

from kd_det import random_state
from kd_det.checkpoint import load_checkpoint
from kd_det.connectors.auto_encoder_file import (
    check_provenance,
    save_auto_encoder,
)
from kd_det.connectors.coder import AutoEncoder
from kd_det.distillers import FactorDistiller
from kd_det.engine.centroid_pass import package_versions
from kd_det.engine.checks import check_data
from kd_det.engine.provenance import training_files, training_sha256
from kd_det.errors import UserError
from kd_det.files import atomic_write
from kd_det.losses.reconstruction import reconstruction
from kd_det.registry import HOOKS, MODELS

LINE_EVERY = 20  # seconds
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
        if not (isinstance(epochs, int) and epochs > 0 and lr > 0):
            raise UserError(
                f'Auto-encoder: epochs={epochs!r}, lr={lr!r}; an integer and '
                'a number above 0 are accepted.'
            )
        if p not in (1, 2):
            raise UserError(f'Auto-encoder: p={p!r}; accepted are 1 and 2.')
        self.settings = dict(epochs=epochs, lr=lr, p=p, seed=seed)

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
        missing = not osp.isfile(file)
        if missing:
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
        provenance = distiller.load_auto_encoder()
        check_provenance(file, provenance, data)
        if not missing:
            _say_reused(file, provenance, self.settings)

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
        done = _resume(file, asked, auto_encoder, optimizer)
        loader = Runner.build_dataloader(
            cfg['train_dataloader'], seed=settings['seed']
        )
        progress = _Progress(settings['epochs'], len(loader), done)
        preprocessor = distiller.teacher.model.data_preprocessor
        for epoch in range(done, settings['epochs']):
            random_state.seed_all(settings['seed'] + epoch + 1000 * get_rank())
            if hasattr(loader.sampler, 'set_epoch'):
                loader.sampler.set_epoch(epoch)
            total = torch.zeros(2, device=device)
            for data in loader:
                batch = preprocessor(data, False)
                maps, masks = distiller.teacher_maps(
                    batch['inputs'], batch['data_samples']
                )
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
            _check_finite(error, settings['lr'])
            progress.epoch(error)
            if get_rank() == 0:
                _keep(file, asked, epoch + 1, error, auto_encoder, optimizer)
        if done == settings['epochs']:  # killed between the two writes
            error = load_checkpoint(file)['error']
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
        cfg: Of a pair, from :func:`kd_det.engine.launch.prepare`.

    Returns:
        The files.

    Raises:
        UserError: No distiller names one, or a file does not fit.
    """
    check_data(cfg, ('train',))
    stage = stage_of(cfg)
    if 'teacher' not in cfg.model:
        raise UserError(
            'The config has no teacher; use one whose model is a kd_det '
            "'DistillModel'."
        )
    model = MODELS.build(cfg.model).to(get_device())
    model._set_device(torch.device(get_device()))
    found = with_auto_encoder(model)
    if not found:
        raise UserError(
            'No distiller of the config names an auto-encoder; use one such '
            "as dict(type='FactorDistiller', auto_encoder='FILE.pth', …)."
        )
    for distiller in found:
        stage.provide(distiller, cfg)
        say(f'Ready: {distiller.auto_encoder_file}')
    return [distiller.auto_encoder_file for distiller in found]


def with_auto_encoder(model) -> list[FactorDistiller]:
    """Return the distillers of a pair that have an auto-encoder's file."""
    return [
        distiller
        for distiller in model.distill.values()
        if getattr(distiller, 'auto_encoder_file', None)
        and 'teacher_factors' in distiller.asked
    ]


def check_auto_encoders(runner: Runner) -> None:
    """Stop before the first step if a file is missing and no hook makes it.

    Args:
        runner: Built, not started.

    Raises:
        UserError: Naming the file.
    """
    model = runner.model
    model = model.module if is_model_wrapper(model) else model
    stages = [getattr(hook, 'stage', None) for hook in runner.hooks]
    made = any(isinstance(stage, AutoEncoderStage) for stage in stages)
    if hasattr(model, 'distill') and not made:
        for distiller in with_auto_encoder(model):
            distiller.require_auto_encoder()


def say(text: str) -> None:
    """Print a line, on the log of the run where there is one."""
    print_log(text, 'current')


def _say_reused(file: str, provenance: dict, settings: dict) -> None:
    """Tell how a file was made, and if the config would make it otherwise."""
    shown = [*settings, 'reconstruction']
    made = [f'{k}={provenance[k]:.5g}' for k in shown if k in provenance]
    text = f'Auto-encoder {file!r} is reused ({", ".join(made)})'
    other = [
        f'{key}={value}'
        for key, value in settings.items()
        if key in provenance and provenance[key] != value
    ]
    if other:
        print_log(
            f'{text}; the config has {", ".join(other)}: delete the file to '
            'train it so.',
            'current',
            logging.WARNING,
        )
    else:
        say(f'{text}.')


class _Progress:
    """Says now and then where the training stands and how long it takes."""

    def __init__(self, epochs: int, length: int, done: int) -> None:
        self.epochs, self.length = epochs, length
        self.done = done * length
        self.first = self.done
        self.began = self.said = time.monotonic()

    def step(self, total: Tensor) -> None:
        """Count a step; a line when it is due."""
        self.done += 1
        if time.monotonic() - self.said >= LINE_EVERY:
            self._line((total[0] / total[1]).item())

    def epoch(self, error: float) -> None:
        """Say what an epoch came to."""
        self._line(error)

    def _line(self, error: float) -> None:
        self.said = time.monotonic()
        pace = (self.said - self.began) / (self.done - self.first)
        left = round(pace * (self.epochs * self.length - self.done))
        epoch = (self.done - 1) // self.length + 1
        say(
            f'Auto-encoder: epoch {epoch} of {self.epochs}, step '
            f'{self.done} of {self.epochs * self.length}, reconstruction '
            f'{error:.5f}, {left // 60}:{left % 60:02} left'
        )


def _check_finite(error: float, lr: float) -> None:
    if error != error or error == float('inf'):
        raise UserError(
            f'The auto-encoder diverges (its reconstruction is {error}); '
            f'lower the lr of AutoEncoderHook, which is {lr}.'
        )


def _keep(
    file: str,
    asked: dict,
    epoch: int,
    error: float,
    auto_encoder: AutoEncoder,
    optimizer: torch.optim.Optimizer,
) -> None:
    state = dict(
        asked=asked,
        epoch=epoch,
        error=error,
        state_dict=auto_encoder.state_dict(),
        optimizer=optimizer.state_dict(),
    )
    with atomic_write(file) as out:
        torch.save(state, out)


def _resume(
    file: str,
    asked: dict,
    auto_encoder: AutoEncoder,
    optimizer: torch.optim.Optimizer,
) -> int:
    """Go on where an interrupted training stopped; return its epochs."""
    if not osp.isfile(file):
        return 0
    state = load_checkpoint(file)
    if state.get('asked') != asked:
        say(f'{file!r} is of other settings and is begun anew.')
        return 0
    auto_encoder.load_state_dict(state['state_dict'])
    optimizer.load_state_dict(state['optimizer'])
    say(f'Going on after epoch {state["epoch"]}, from {file!r}.')
    return state['epoch']
