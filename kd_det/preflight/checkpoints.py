"""Does a checkpoint belong to the config that it is used with?"""

import os.path as osp

from mmengine.config import Config
from mmengine.runner import CheckpointLoader, Runner, find_latest_checkpoint
from mmengine.runner.checkpoint import get_state_dict

from kd_det.datasets.run_data import RunData, Split
from kd_det.errors import UserError, few
from kd_det.models.loading import stored_classes
from kd_det.models.misfit import differences
from kd_det.models.unwrap import unwrap


def check_same_classes(split: Split | None, state: dict, path: str) -> None:
    """Stop if a checkpoint was trained on another class list.

    Of equal length they would load, and every label would be another's.

    Args:
        split: The data that are used, if there are any.
        state: The checkpoint.
        path: Where it comes from, for the message.

    Raises:
        UserError: Both lists are known and differ.
    """
    ours, theirs = split and split.classes, stored_classes(state)
    if ours and theirs and tuple(ours) != theirs:
        raise UserError(
            f'Checkpoint {path!r} was trained on the classes ({few(theirs)}), '
            f'the config has ({few(ours)}); write its list, in its order, as '
            'classes=(…) at the top of the config.'
        )


def resumable(cfg: Config, resume: str, data: RunData) -> str | None:
    """Return the checkpoint to resume from, or None for a fresh start.

    Args:
        cfg: The run's config.
        resume: ``'auto'`` for the last one of the work dir, or a file.
        data: Of the run.

    Raises:
        FileNotFoundError: No such file.
        UserError: It is none of training, or of other classes.
    """
    path = resume
    if resume == 'auto':
        path = find_latest_checkpoint(cfg.work_dir)
        if path is None:
            return None
    elif not osp.isfile(resume):
        raise FileNotFoundError(
            f'There is no checkpoint {resume!r} to resume from; give a '
            'file, or --resume alone for the last one of the work dir.'
        )
    state = CheckpointLoader.load_checkpoint(path, 'cpu')
    meta = state.get('meta') or {}
    if 'optimizer' not in state or not {'epoch', 'iter'} <= {*meta}:
        raise UserError(
            f'Checkpoint {path!r} has no optimizer, epoch and iteration, so '
            'nothing can be resumed from it; give one of training, or start '
            'from its weights with --cfg-options load_from=FILE.'
        )
    check_same_classes(data.train, state, path)
    return path


def check_resumed_keys(runner: Runner, path: str) -> None:
    """Stop if a checkpoint of training is another network's.

    MMEngine would load what fits and begin the rest anew.

    Args:
        runner: Before training.
        path: The checkpoint that it will resume from.

    Raises:
        UserError: Naming keys that are missing, unexpected or of another
            shape.
    """
    model = unwrap(runner.model)
    state = CheckpointLoader.load_checkpoint(path, 'cpu')
    problems = differences(
        get_state_dict(model), state['state_dict'], stored_classes(state)
    )
    if problems:
        raise UserError(
            f'Checkpoint {path!r} is no checkpoint of this run: '
            f'{"; ".join(problems)}; resume with the config it was trained '
            'with, or start from its weights with --cfg-options '
            'load_from=FILE.'
        )
