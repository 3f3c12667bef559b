"""Run checks on a GPU and print the results as a table."""

import io
import sys
from contextlib import redirect_stdout

import torch

from kd_det import __version__
from kd_det.errors import UserError
from kd_det.gpu_check import rows
from kd_det.gpu_check.losses import check_losses
from kd_det.gpu_check.operators import check_operators
from kd_det.gpu_check.rows import Row
from kd_det.gpu_check.steps import check_costs, check_waits
from kd_det.gpu_check.training import check_amp, check_resume

CHECKS = (
    check_losses,
    check_operators,
    check_waits,
    check_amp,
    check_resume,
    check_costs,
)


def check(device: str, out: str | None = None) -> list[Row]:
    """Run all checks, print and return the rows.

    Args:
        device: ``'cuda'`` or ``'cpu'``.
        out: JSON file to write.

    Raises:
        UserError: There is no GPU.
    """
    if device == 'cuda' and not torch.cuda.is_available():
        raise UserError(
            'torch finds no GPU (torch.cuda.is_available() is False); '
            '`kd_det env` shows the reason, and --device cpu runs the checks '
            'that need no GPU.'
        )
    place = torch.device(device)
    about = dict(
        kd_det=__version__,
        torch=torch.__version__,
        device=torch.cuda.get_device_name() if device == 'cuda' else 'CPU',
    )
    print(', '.join(f'{key} {value}' for key, value in about.items()))
    print(rows.header(), flush=True)
    found, screen = [], sys.stdout
    with redirect_stdout(io.StringIO()):  # output of libraries
        for one in CHECKS:
            for row in rows.run(one, place):
                print(rows.line(row), file=screen, flush=True)
                found.append(row)
    bad = sum(row.passed is False for row in found)
    unseen = sum(row.passed is None for row in found)
    print(
        f'{len(found)} rows: {bad} failed'
        + f', {unseen} need a GPU' * bool(unseen)
    )
    if out:
        rows.save(found, about, out)
    return found
