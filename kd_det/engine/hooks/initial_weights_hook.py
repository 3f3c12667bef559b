"""InitialWeightsHook: record the student's initial weights."""

import json
from hashlib import sha256
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner.checkpoint import get_state_dict
from torch import nn

from kd_det.files import atomic_write
from kd_det.models.unwrap import unwrap
from kd_det.registry import HOOKS

FILE = 'initial_weights.json'


@HOOKS.register_module()
class InitialWeightsHook(Hook):
    """Write hashes of the student's weights before the first step.

    ``initial_weights.json`` in the work directory has one for each part of the
    student (backbone, neck, …). At the same seed, a student has the same
    hashes with and without a teacher, except for inherited parts.

    Example:
        >>> custom_hooks = [dict(type='kd_det.InitialWeightsHook')]
    """

    priority = 'VERY_LOW'  # another hook may change the weights

    def before_train(self, runner) -> None:
        """Write the file unless the run is resumed."""
        if runner.iter > 0 or not is_main_process():
            return
        model = unwrap(runner.model)
        digests = weights_digests(model)
        runner.logger.info(f'Initial weights of the student: {digests}')
        with atomic_write(Path(runner.work_dir) / FILE) as file:
            file.write(json.dumps(digests, indent=1).encode())


def weights_digests(model: nn.Module) -> dict[str, str]:
    """Return the SHA-256 of the names, shapes and values in each part's state.

    Args:
        model: A network; of a ``DistillModel``, only the student is used.

    Returns:
        Name of the direct submodule -> its hash.
    """
    parts = {}
    for key, value in sorted(get_state_dict(model).items()):
        part = key.partition('.')[0]
        if part == 'distill':
            continue
        digest = parts.setdefault(part, sha256())
        digest.update(f'{key} {value.dtype} {tuple(value.shape)}'.encode())
        digest.update(value.cpu().contiguous().numpy().tobytes())
    return {part: digest.hexdigest() for part, digest in parts.items()}
