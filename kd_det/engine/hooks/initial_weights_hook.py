"""InitialWeightsHook: did two runs begin with the same student?"""

from hashlib import sha256
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner.checkpoint import get_state_dict
from torch import nn

from kd_det.files import atomic_write
from kd_det.registry import HOOKS

FILE = 'initial_weights.sha256'


@HOOKS.register_module()
class InitialWeightsHook(Hook):
    """Write a digest of the student's weights before the first step.

    It stands in ``initial_weights.sha256`` of the work dir. A student with
    a teacher and the same one alone, at the same seed, have the same.

    Example:
        >>> custom_hooks = [dict(type='kd_det.InitialWeightsHook')]
    """

    priority = 'VERY_LOW'  # another hook may change the weights

    def before_train(self, runner) -> None:
        """Write the file, unless the run is resumed."""
        if runner.iter > 0 or not is_main_process():
            return
        model = runner.model
        model = model.module if is_model_wrapper(model) else model
        digest = weights_digest(model)
        runner.logger.info(f'Initial weights of the student: {digest}')
        with atomic_write(Path(runner.work_dir) / FILE) as file:
            file.write(digest.encode())


def weights_digest(model: nn.Module) -> str:
    """Return the sha256 of names, shapes and values of a network's state.

    Of a ``DistillModel`` the student alone counts.
    """
    digest = sha256()
    for key, value in sorted(get_state_dict(model).items()):
        if key.startswith('distill.'):
            continue
        digest.update(f'{key} {value.dtype} {tuple(value.shape)}'.encode())
        digest.update(value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
