"""SafeCheckpointHook: keep a loadable checkpoint at all times."""

import os.path as osp
from collections import deque
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook

from kd_det.engine.atomic_backend import ATOMIC, AtomicBackend
from kd_det.files import remove_unfinished
from kd_det.registry import HOOKS


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """MMEngine's CheckpointHook, safe against kills and full disks.

    A local checkpoint gets its name once it is complete; then
    ``last_checkpoint`` is updated; then outdated and previous best checkpoints
    are removed, which MMEngine does first. The disk must therefore hold one
    checkpoint more than ``max_keep_ckpts``. Files that a killed process left
    half written are removed when the next one starts. The arguments are those
    of ``CheckpointHook``.

    Example:
        >>> default_hooks = dict(checkpoint=dict(
        ...     type='kd_det.SafeCheckpointHook', interval=1,
        ...     max_keep_ckpts=2))
    """

    def before_train(self, runner) -> None:
        """Use the atomic backend for local files."""
        super().before_train(runner)
        if type(self.file_backend) is LocalBackend:
            self.file_backend = AtomicBackend()
            self.backend_args = dict(backend=ATOMIC)
        if is_main_process():
            for folder in {self.out_dir, runner.work_dir}:
                for names in ('*.pth', 'last_checkpoint'):
                    remove_unfinished(Path(folder), names)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Store one ``dataset_meta``, where parts of the data have each one.

        MMDetection's ``init_detector`` reads the classes there.
        """
        found = checkpoint['meta'].get('dataset_meta')
        if isinstance(found, list):
            checkpoint['meta']['dataset_meta'] = found[0]

    def _save_checkpoint_with_step(self, runner, step, meta) -> None:
        outdated = []
        if self.max_keep_ckpts > 0:
            steps = list(self.keep_ckpt_ids)
            steps += [step] if steps[-1:] != [step] else []
            outdated = steps[: -self.max_keep_ckpts]
            # the file still lists the outdated ones: if this process is killed
            # before it removes them, the resumed run does
            runner.message_hub.update_info('keep_ckpt_ids', steps)
            self.keep_ckpt_ids = deque(steps[-self.max_keep_ckpts :])
        filename = self.filename_tmpl.format(step)
        self.last_ckpt = self._path(filename)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            filename,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if is_main_process():
            AtomicBackend().put_text(
                self.last_ckpt, osp.join(runner.work_dir, 'last_checkpoint')
            )
            self._remove(
                [self._path(self.filename_tmpl.format(s)) for s in outdated]
            )
        if outdated:
            runner.message_hub.update_info(
                'keep_ckpt_ids', list(self.keep_ckpt_ids)
            )

    def _save_best_checkpoint(self, runner, metrics) -> None:
        backend = self.file_backend
        self.file_backend = later = _RemoveLater(backend)
        try:
            super()._save_best_checkpoint(runner, metrics)
        finally:
            self.file_backend = backend
        if later.paths:
            best = {getattr(self, 'best_ckpt_path', None)}
            best.update(getattr(self, 'best_ckpt_path_dict', {}).values())
            self._remove([path for path in later.paths if path not in best])

    def _path(self, filename: str) -> str:
        return self.file_backend.join_path(self.out_dir, filename)

    def _remove(self, paths: list[str]) -> None:
        for path in paths:
            if self.file_backend.isfile(path):
                self.file_backend.remove(path)


class _RemoveLater:
    """A storage backend that only records what is to be removed."""

    def __init__(self, backend) -> None:
        self._backend = backend
        self.paths: list[str] = []

    def remove(self, path: str) -> None:
        self.paths.append(path)

    def __getattr__(self, name: str):
        return getattr(vars(self)['_backend'], name)
