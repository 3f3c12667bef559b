"""Read the record that a training run writes to its work directory."""

import json
from pathlib import Path

from kd_det.errors import UserError

FILE = 'run.json'


def load_record(path: str | Path) -> dict:
    """Read ``run.json``.

    Args:
        path: A work directory, or the file itself.

    Raises:
        FileNotFoundError: The file does not exist, for example because the run
            has not finished.
        UserError: The file is not a run record.
    """
    path = Path(path)
    file = path / FILE if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(
            f'There is no {str(file)!r}; give the work directory of a '
            f'finished training run (kd_det writes {FILE} there at the end).'
        )
    try:
        record = json.loads(file.read_text())
        record['config']
        seed = record['seed']
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f'{str(file)!r} is not the record of a run ({error!r}); give a '
            'work directory of kd_det.'
        ) from None
    if type(seed) is not int:
        raise UserError(
            f'{str(file)!r} has the seed {seed!r}; an integer is accepted: '
            'write the seed used to train the run.'
        )
    return record
