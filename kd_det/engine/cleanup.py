"""A run that is refused before its first step leaves nothing behind."""

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
    """Know whether training has begun."""

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self.begun = self.taken = False

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        """Note that it begins."""
        self.begun = True

    def after_train_iter(
        self, runner, batch_idx, data_batch=None, outputs=None
    ) -> None:
        """Note that it has been taken."""
        self.taken = True

    def refused(self, error: Exception) -> bool:
        """Return whether an error leaves nothing worth keeping.

        What breaks in the first step itself leaves its log, unless it is a
        refusal in a sentence.
        """
        return not self.taken and (
            not self.begun or isinstance(error, UserError)
        )


@contextmanager
def nothing_left(cfg: Config, step: FirstStep | None = None) -> Iterator[None]:
    """Take a Runner's log and config away if the block raises.

    Class means and checkpoints stay: they are worth something.

    Args:
        cfg: The run's config.
        step: Of a training; whether everything stays.

    Raises:
        UserError: The work dir cannot be a folder, or not be written.
    """
    check_folder(cfg.work_dir)
    folder = Path(osp.abspath(cfg.work_dir))
    above = first_existing(folder)
    before = {*os.listdir(folder)} if folder.is_dir() else set()
    copy = folder / osp.basename(cfg.filename or 'config.py')
    old = copy.read_bytes() if copy.is_file() else None
    barrier()  # no rank makes the folder before another has looked
    try:
        yield
    except Exception as error:
        refused = step is None or step.refused(error)
        if is_main_process() and refused and folder.is_dir():
            for name in {*os.listdir(folder)} - before:
                # as MMEngine names the folder of a log, and a config
                log = re.fullmatch(r'\d{8}_\d{6}(\.py)?', name)
                if log or name == DIGEST:
                    _remove(folder / name)
            if old is None:
                _remove(copy)
            elif copy.read_bytes() != old:
                copy.write_bytes(old)
            _remove_empty(folder, above)
        _forget_visualizers(Visualizer)
        raise


def _forget_visualizers(kind: type[Visualizer]) -> None:
    """Let a later run of this process not draw into what was removed."""
    kind._instance_dict.clear()  # MMEngine hands them out by name
    for heir in kind.__subclasses__():
        _forget_visualizers(heir)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _remove_empty(folder: Path, above: Path) -> None:
    with suppress(OSError):  # it holds something
        while folder != above:
            folder.rmdir()
            folder = folder.parent
