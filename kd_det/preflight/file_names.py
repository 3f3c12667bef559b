"""Check that checkpoints get names of their own in their folder."""

import os.path as osp

from mmengine.hooks import CheckpointHook

from kd_det.errors import UserError


def check_file_names(runner) -> None:
    """Raise if the names of checkpoints are paths, or all the same.

    MMEngine would write outside the work directory, or remove the newest
    checkpoint together with those that it replaces.

    Args:
        runner: The runner, before training.

    Raises:
        UserError: A hook has such a ``filename_tmpl``.
    """
    for hook in runner.hooks:
        if not isinstance(hook, CheckpointHook):
            continue
        template = hook.filename_tmpl
        names = [template.format(number) for number in (1, 2)]
        if osp.basename(names[0]) != names[0] or names[0] == names[1]:
            raise UserError(
                f'{type(hook).__name__} has filename_tmpl={template!r}; the '
                "name of a file with {} for the number, such as 'epoch_{}.pth'"
                ', is accepted: write a folder as out_dir.'
            )
