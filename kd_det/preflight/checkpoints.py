"""Check that a checkpoint belongs to the config it is used with."""

import os.path as osp

from mmengine.config import Config
from mmengine.runner import CheckpointLoader, Runner, find_latest_checkpoint
from mmengine.runner.checkpoint import get_state_dict

from kd_det.datasets.run_data import RunData, Split
from kd_det.errors import UserError, few
from kd_det.models.loading import stored_classes
from kd_det.models.misfit import differences
from kd_det.models.unwrap import unwrap

PARTS = ('state_dict', 'optimizer')  # of a training checkpoint


def check_same_classes(split: Split | None, state: dict, path: str) -> None:
    """Raise if a checkpoint was trained with a different class list.

    With equally long lists it would load, with wrong labels.

    Args:
        split: The data that are used, or None.
        state: The checkpoint.
        path: Its path, for the message.

    Raises:
        UserError: Both lists are known and differ.
    """
    ours, theirs = split and split.classes, stored_classes(state)
    if ours and theirs and tuple(ours) != theirs:
        raise UserError(
            f'Checkpoint {path!r} was trained on the classes '
            f'({few(theirs)}), but the config has ({few(ours)}); write its '
            'list, in its order, as classes=(…) at the top of the config.'
        )


def asked_to_resume(cfg: Config) -> str | None:
    """Return from what a config itself resumes: ``'auto'``, a file or None.

    Args:
        cfg: The run's config.

    Raises:
        UserError: ``resume`` is neither True nor False.
    """
    resume = cfg.get('resume') or False
    if not isinstance(resume, bool):
        file = '' if resume == 'auto' else f' and load_from={resume!r}'
        raise UserError(
            f'resume={resume!r}; True or False is accepted: write resume=True'
            f'{file}, or pass --resume.'
        )
    return (cfg.get('load_from') or 'auto') if resume else None


def resumable(cfg: Config, resume: str, data: RunData) -> str | None:
    """Return the checkpoint to resume from, or None for a fresh start.

    Args:
        cfg: The run's config.
        resume: ``'auto'`` for the last one in the work directory, or a file.
        data: The run's data.

    Raises:
        FileNotFoundError: The file does not exist.
        UserError: It is not a training checkpoint, or has different classes.
    """
    path = resume
    if resume == 'auto':
        path = find_latest_checkpoint(cfg.work_dir)
        if path is None:
            return None
    elif not osp.isfile(resume):
        raise FileNotFoundError(
            f'There is no checkpoint {resume!r} to resume from; give a file, '
            'or --resume alone for the last one in the work directory.'
        )
    state = CheckpointLoader.load_checkpoint(path, 'cpu')
    meta = state.get('meta')
    meta = meta if isinstance(meta, dict) else {}
    counts = [meta.get(key) for key in ('epoch', 'iter')]
    if not (
        all(isinstance(state.get(part), dict) for part in PARTS)
        and all(isinstance(count, int) for count in counts)
    ):
        raise UserError(
            f'Checkpoint {path!r} has no optimizer, epoch and iteration, so '
            'training cannot resume from it; give a training checkpoint, or '
            'start from its weights with --cfg-options load_from=FILE.'
        )
    check_same_classes(data.train, state, path)
    return path


def check_resumed_keys(runner: Runner, path: str) -> None:
    """Raise if a training checkpoint belongs to a different network.

    MMEngine would load what fits and initialise the rest.

    Args:
        runner: The runner, before training.
        path: The checkpoint to resume from.

    Raises:
        UserError: Keys are missing, unexpected or of a different shape.
    """
    model = unwrap(runner.model)
    state = CheckpointLoader.load_checkpoint(path, 'cpu')
    problems = differences(
        get_state_dict(model), state['state_dict'], stored_classes(state)
    )
    if problems:
        raise UserError(
            f'Checkpoint {path!r} is not a checkpoint of this run: '
            f'{"; ".join(problems)}; resume with the config it was trained '
            'with, or start from its weights with --cfg-options '
            'load_from=FILE.'
        )
