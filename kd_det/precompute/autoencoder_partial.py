"""State of an interrupted stage 1, stored as ``FILE.partial``."""

import os.path as osp

import torch

from kd_det.checkpoint import load_checkpoint
from kd_det.connectors.autoencoder_file import write
from kd_det.connectors.coder import AutoEncoder
from kd_det.errors import UserError
from kd_det.precompute.autoencoder_progress import say


def keep(
    file: str,
    asked: dict,
    epoch: int,
    error: float,
    auto_encoder: AutoEncoder,
    optimizer: torch.optim.Optimizer,
) -> None:
    """Save the state of training.

    Args:
        file: The partial file.
        asked: Identity and settings of the training.
        epoch: Number of finished epochs.
        error: Reconstruction error of the last epoch.
        auto_encoder: The auto-encoder being trained.
        optimizer: Its optimiser.
    """
    state = dict(
        asked=asked,
        epoch=epoch,
        error=error,
        state_dict=auto_encoder.state_dict(),
        optimizer=optimizer.state_dict(),
    )
    write(file, state)


def resume(
    file: str,
    asked: dict,
    auto_encoder: AutoEncoder,
    optimizer: torch.optim.Optimizer,
) -> tuple[int, float]:
    """Restore the state of an interrupted training, if it matches.

    Args:
        file: The partial file.
        asked: Expected identity and settings; otherwise training restarts.
        auto_encoder: Auto-encoder to restore.
        optimizer: Optimiser to restore.

    Returns:
        The number of finished epochs, and the last reconstruction error.

    Raises:
        UserError: The file is damaged.
    """
    if not osp.isfile(file):
        return 0, float('nan')
    try:
        state = load_checkpoint(file)
    except UserError as error:
        raise UserError(
            f'The state of an interrupted stage 1 cannot be used ({error}); '
            f'delete {file!r} to start again.'
        ) from None
    if state.get('asked') != asked:
        say(f'{file!r} has other settings; training starts again.')
        return 0, float('nan')
    try:
        auto_encoder.load_state_dict(state['state_dict'])
        optimizer.load_state_dict(state['optimizer'])
        done = state['epoch'], state['error']
    # a file with these settings that another program has changed
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError):
        raise UserError(
            f'The state {file!r} of an interrupted stage 1 does not match its '
            'settings; delete it to start again.'
        ) from None
    say(f'Resumed after epoch {done[0]} from {file!r}.')
    return done
