"""InitialWeightsHook: did two runs begin with the same student?"""

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
    """Write digests of the student's weights before the first step.

    ``initial_weights.json`` in the work dir has one for each part of the
    student (backbone, neck, …). A student with a teacher and the same one
    alone, at the same seed, have the same, but for what is inherited.

    Example:
        >>> custom_hooks = [dict(type='kd_det.InitialWeightsHook')]
    """

    priority = 'VERY_LOW'  # another hook may change the weights

    def before_train(self, runner) -> None:
        """Write the file, unless the run is resumed."""
        if runner.iter > 0 or not is_main_process():
            return
        model = unwrap(runner.model)
        digests = weights_digests(model)
        runner.logger.info(f'Initial weights of the student: {digests}')
        with atomic_write(Path(runner.work_dir) / FILE) as file:
            file.write(json.dumps(digests, indent=1).encode())


def weights_digests(model: nn.Module) -> dict[str, str]:
    """Return the sha256 of names, shapes and values of each part's state.

    Args:
        model: A network; of a ``DistillModel`` the student alone counts.

    Returns:
        Name of the direct sub-module -> its digest.
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
