"""The file of a teacher's auto-encoder: weights, with provenance."""

import io
from pathlib import Path
from tempfile import TemporaryFile

import torch

from kd_det.checkpoint import load_checkpoint
from kd_det.connectors.coder import AutoEncoder
from kd_det.errors import UserError
from kd_det.files import atomic_write

AGAIN = (
    'delete it, which lets AutoEncoderHook or `kd_det autoencoder` '
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
    write(path, dict(state_dict=state, provenance=provenance))


def write(path: str | Path, content: dict) -> None:
    """Write tensors atomically.

    Args:
        path: The file.
        content: What is to be found there again.

    Raises:
        UserError: The disk is full, or the place cannot be written.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    try:
        with atomic_write(path) as file:
            file.write(buffer.getbuffer())
    except OSError as error:
        raise UserError(
            f'{str(path)!r} cannot be written ({error.strerror}, '
            f'{buffer.tell()} bytes); what was there is as it was: '
            'free some space or name another file in auto_encoder, then '
            'start again.'
        ) from None


def check_place(path: str | Path) -> None:
    """Stop unless an auto-encoder can be written where it is to be.

    Args:
        path: A file that does not exist.

    Raises:
        UserError: It is a folder, or its folder cannot be written.
    """
    path = Path(path)
    reason = 'it is a folder'
    if not path.is_dir():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=path.parent):
                return
        except OSError as error:
            reason = f'{error.strerror}: {error.filename!r}'
    raise UserError(
        f'Auto-encoder {str(path)!r} cannot be written ({reason}); name a '
        'file in a folder that can, in auto_encoder.'
    )


def load_auto_encoder(path: str | Path) -> tuple[dict, dict]:
    """Return the weights and the provenance in a file.

    Raises:
        FileNotFoundError: No such file.
        UserError: It is no auto-encoder.
    """
    content = load_checkpoint(path)
    if not all(
        isinstance(content.get(key), dict)
        for key in ('state_dict', 'provenance')
    ):
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
