"""AutoEncoderHook: stage 1 of FT and IE-KD, where it is not done yet."""

from mmengine.hooks import Hook

from kd_det.models import require_pair
from kd_det.models.unwrap import unwrap
from kd_det.precompute.autoencoder import AutoEncoderStage, with_auto_encoder
from kd_det.registry import HOOKS


@HOOKS.register_module()
class AutoEncoderHook(Hook):
    """Train the auto-encoders a config names, or verify what is there.

    Before training, a distiller whose file is missing gets it made from the
    teacher's maps of the training set; a file that exists must come from
    this teacher, these points and widths, and these data. What an
    interruption leaves is used.

    Args:
        epochs: See :class:`kd_det.precompute.autoencoder.AutoEncoderStage`.
        lr: See there.
        p: See there.
        seed: See there.

    Raises:
        UserError: A file does not fit.

    Paper: https://arxiv.org/abs/2107.00181

    Example:
        >>> custom_hooks = [dict(type='kd_det.AutoEncoderHook', epochs=30)]
    """

    priority = 'HIGH'  # before hooks that look at knowledge

    def __init__(
        self, epochs: int = 30, lr: float = 0.1, p: int = 1, seed: int = 0
    ) -> None:
        self.stage = AutoEncoderStage(epochs, lr, p, seed)

    def before_train(self, runner) -> None:
        """Provide every distiller with its auto-encoder."""
        model = unwrap(runner.model)
        require_pair(self, model)
        self.stage.provide_all(with_auto_encoder(model), runner.cfg)
