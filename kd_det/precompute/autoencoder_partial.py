"""What an interrupted stage 1 leaves beside its file: ``FILE.partial``."""

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
    """Write how far a training has come.

    Args:
        file: The partial file.
        asked: What is trained, on what and how.
        epoch: How many are done.
        error: The reconstruction of the last one.
        auto_encoder: As it stands.
        optimizer: As it stands.
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
    """Go on where an interrupted training stopped.

    Args:
        file: The partial file.
        asked: As it must be; else the training begins anew.
        auto_encoder: Gets what is there.
        optimizer: Gets what is there.

    Returns:
        The epochs that are done, and the reconstruction of the last one.

    Raises:
        UserError: The file is damaged.
    """
    if not osp.isfile(file):
        return 0, float('nan')
    try:
        state = load_checkpoint(file)
    except UserError as error:
        raise UserError(
            f'What an interrupted stage 1 left cannot be used ({error}); '
            f'delete {file!r}, and it begins anew.'
        ) from None
    if state.get('asked') != asked:
        say(f'{file!r} is of other settings and is begun anew.')
        return 0, float('nan')
    try:
        auto_encoder.load_state_dict(state['state_dict'])
        optimizer.load_state_dict(state['optimizer'])
        done = state['epoch'], state['error']
    except (KeyError, RuntimeError, ValueError):
        raise UserError(
            f'{file!r} does not hold what its settings say; delete it, and '
            'stage 1 begins anew.'
        ) from None
    say(f'Going on after epoch {done[0]}, from {file!r}.')
    return done
