"""Clean up after a run that is refused before its first step."""

import os
import os.path as osp
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import barrier, is_main_process
from mmengine.hooks import Hook
from mmengine.visualization import Visualizer

from kd_det.engine.hooks.initial_weights_hook import FILE as DIGEST
from kd_det.errors import UserError
from kd_det.files import check_folder, first_existing


class FirstStep(Hook):
    """Record whether training has begun."""

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self.begun = self.taken = False

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        """Record that the first step has begun."""
        self.begun = True

    def after_train_iter(
        self, runner, batch_idx, data_batch=None, outputs=None
    ) -> None:
        """Record that the first step is complete."""
        self.taken = True

    def refused(self, error: Exception) -> bool:
        """Return whether an error leaves nothing worth keeping.

        A crash within the first step keeps its log; a ``UserError`` there does
        not.
        """
        return not self.taken and (
            not self.begun or isinstance(error, UserError)
        )


@contextmanager
def nothing_left(cfg: Config, step: FirstStep | None = None) -> Iterator[None]:
    """Remove a Runner's log and config if the block raises.

    Class means and checkpoints are kept, since they can be reused. The run in
    the block logs into its own folder, whatever ran in this process before.

    Args:
        cfg: The run's config.
        step: The hook of a training run, which decides whether everything is
            kept; default: None.

    Raises:
        UserError: The work directory is not a folder or is not writable.
    """
    check_folder(cfg.work_dir)
    folder = Path(osp.abspath(cfg.work_dir))
    above = first_existing(folder)
    before = {*os.listdir(folder)} if folder.is_dir() else set()
    copy = folder / osp.basename(cfg.filename or 'config.py')
    old = copy.read_bytes() if copy.is_file() else None
    barrier()  # no rank creates the folder before every rank has looked
    _forget_visualizers(Visualizer)
    try:
        yield
    except Exception as error:
        refused = step is None or step.refused(error)
        if is_main_process() and refused and folder.is_dir():
            for name in {*os.listdir(folder)} - before:
                # the names that MMEngine gives log folders and configs
                log = re.fullmatch(r'\d{8}_\d{6}(\.py)?', name)
                if log or name == DIGEST:
                    _remove(folder / name)
            if old is None:
                _remove(copy)
            elif copy.read_bytes() != old:
                copy.write_bytes(old)
            _remove_empty(folder, above)
        raise


def _forget_visualizers(kind: type[Visualizer]) -> None:
    """Keep a run from logging into the folder of an earlier one.

    MMEngine caches visualizers by name, and MMDetection's runtime calls each
    of them ``visualizer``.
    """
    kind._instance_dict.clear()
    for heir in kind.__subclasses__():
        _forget_visualizers(heir)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _remove_empty(folder: Path, above: Path) -> None:
    with suppress(OSError):  # it is not empty
        while folder != above:
            folder.rmdir()
            folder = folder.parent
