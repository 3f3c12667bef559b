"""Auto-encoder files: weights with provenance."""

import io
from pathlib import Path
from tempfile import TemporaryFile

import torch

from kd_det.checkpoint import load_checkpoint
from kd_det.connectors.coder import AutoEncoder
from kd_det.errors import UserError
from kd_det.files import atomic_write

AGAIN = (
    'delete it, so that AutoEncoderHook or `kd_det autoencoder` trains a new '
    'one, or set another file in auto_encoder'
)
# Descriptions of the provenance entries that must match.
WHAT = {
    'teacher_sha256': 'another teacher checkpoint',
    'points': 'other tap points of the teacher',
    'in_channels': 'feature maps with other channels',
    'channels': 'factors with other channels',
    'norm': 'other layers (norm)',
    'shared': 'other levels (shared)',
    'training_sha256': 'other training data',
}


def save_auto_encoder(
    path: str | Path, auto_encoder: AutoEncoder, provenance: dict
) -> None:
    """Write an auto-encoder with its provenance atomically.

    Args:
        path: Output file.
        auto_encoder: Trained auto-encoder.
        provenance: Dict of plain numbers, strings and lists.
    """
    state = {k: v.cpu() for k, v in auto_encoder.state_dict().items()}
    write(path, dict(state_dict=state, provenance=provenance))


def write(path: str | Path, content: dict) -> None:
    """Write tensors atomically.

    Args:
        path: Output file.
        content: Dict of tensors and plain values.

    Raises:
        UserError: The disk is full, or the file cannot be written.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    try:
        with atomic_write(path) as file:
            file.write(buffer.getbuffer())
    except OSError as error:
        raise UserError(
            f'{str(path)!r} cannot be written ({error.strerror}, '
            f'{buffer.tell()} bytes); existing files are unchanged: free '
            'some space or set another file in auto_encoder, then start '
            'again.'
        ) from None


def check_place(path: str | Path) -> None:
    """Raise unless an auto-encoder can be written to a path.

    Args:
        path: Path of a file that does not exist yet.

    Raises:
        UserError: The path is a folder, or its folder is not writable.
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
        f'Auto-encoder {str(path)!r} cannot be written ({reason}); set '
        'auto_encoder to a file in a writable folder.'
    )


def load_auto_encoder(path: str | Path) -> tuple[dict, dict]:
    """Return the weights and the provenance from a file.

    Raises:
        FileNotFoundError: The file does not exist.
        UserError: The file does not contain an auto-encoder.
    """
    content = load_checkpoint(path)
    if not all(
        isinstance(content.get(key), dict)
        for key in ('state_dict', 'provenance')
    ):
        raise UserError(
            f'{str(path)!r} contains no auto-encoder with provenance; {AGAIN}.'
        )
    return content['state_dict'], content['provenance']


def check_provenance(
    path: str | Path, provenance: dict, expected: dict
) -> None:
    """Raise unless an auto-encoder matches teacher, tap points and data.

    Args:
        path: File of the auto-encoder, for the message.
        provenance: Provenance from the file.
        expected: Expected entries; others are not compared.

    Raises:
        UserError: An entry differs; the message names the first one.
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
            f'Auto-encoder {str(path)!r} was trained on {WHAT[key]} ({key} '
            f'is {theirs!r}, in this run {ours!r}); {AGAIN}.'
        )
