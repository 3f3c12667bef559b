"""The record that a training leaves in its work dir."""

import json
from pathlib import Path

from kd_det.errors import UserError

FILE = 'run.json'


def load_record(path: str | Path) -> dict:
    """Read ``run.json``.

    Args:
        path: A work dir, or the file itself.

    Raises:
        FileNotFoundError: There is none, such as before the end of a run.
        UserError: The file is no record.
    """
    path = Path(path)
    file = path / FILE if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(
            f'There is no {str(file)!r}; give the work dir of a training '
            f'that has ended (kd_det writes {FILE} there at its end).'
        )
    try:
        record = json.loads(file.read_text())
        record['config']
        seed = record['seed']
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f'{str(file)!r} is not the record of a run ({error!r}); give a '
            'work dir of kd_det.'
        ) from None
    if type(seed) is not int:
        raise UserError(
            f'{str(file)!r} has the seed {seed!r}; an integer is accepted: '
            'write the seed that the run was trained with.'
        )
    return record
