"""The file of a teacher's auto-encoder: weights, with provenance."""

from pathlib import Path

import torch

from kd_det.checkpoint import load_checkpoint
from kd_det.connectors.coder import AutoEncoder
from kd_det.errors import UserError
from kd_det.files import atomic_write

AGAIN = (
    'delete it, which lets AutoEncoderHook or tools/train_autoencoder.py '
    'train it again, or name another file in auto_encoder'
)
# what a stage of training adds to the identity of an auto-encoder
WHAT = {
    'teacher_sha256': 'another teacher checkpoint',
    'points': 'other tap points of the teacher',
    'in_channels': 'maps of other widths',
    'channels': 'factors of other widths',
    'norm': 'other layers (norm)',
    'shared': 'other levels (shared)',
    'training_sha256': 'other training data',
}


def save_auto_encoder(
    path: str | Path, auto_encoder: AutoEncoder, provenance: dict
) -> None:
    """Write an auto-encoder atomically, with what it comes from.

    Args:
        path: The file.
        auto_encoder: Trained.
        provenance: Of plain numbers, strings and lists.
    """
    state = {k: v.cpu() for k, v in auto_encoder.state_dict().items()}
    with atomic_write(path) as file:
        torch.save(dict(state_dict=state, provenance=provenance), file)


def load_auto_encoder(path: str | Path) -> tuple[dict, dict]:
    """Return the weights and the provenance in a file.

    Raises:
        FileNotFoundError: No such file.
        UserError: It is no auto-encoder.
    """
    content = load_checkpoint(path)
    if not {'state_dict', 'provenance'} <= content.keys():
        raise UserError(
            f'{str(path)!r} holds no auto-encoder with its provenance; {AGAIN}'
            '.'
        )
    return content['state_dict'], content['provenance']


def check_provenance(
    path: str | Path, provenance: dict, expected: dict
) -> None:
    """Stop unless an auto-encoder is of this teacher, point and data.

    Args:
        path: Its file, for the message.
        provenance: What the file says.
        expected: What it must say; the rest is not compared.

    Raises:
        UserError: Naming the first thing that differs.
    """
    for key, value in expected.items():
        stored = provenance.get(key)
        if stored == value:
            continue
        ours, theirs = (
            str(side)[:12] if 'sha256' in key else side
            for side in (value, stored)
        )
        raise UserError(
            f'Auto-encoder {str(path)!r} was trained on {WHAT[key]} ({key} is '
            f'{theirs!r}, this run has {ours!r}); {AGAIN}.'
        )
