"""AutoEncoderHook: run stage 1 of FT and IE-KD if needed."""

from mmengine.hooks import Hook

from kd_det.datasets.run_data import RunData
from kd_det.models import require_pair
from kd_det.models.unwrap import unwrap
from kd_det.precompute.autoencoder import AutoEncoderStage, with_auto_encoder
from kd_det.registry import HOOKS


@HOOKS.register_module()
class AutoEncoderHook(Hook):
    """Train the auto-encoders that a config names, or verify existing ones.

    Before training, a missing file is created from the teacher's feature maps
    of the training set; an existing file must match the teacher, the tap
    points and widths, and the data. An interrupted stage 1 is continued.

    Args:
        epochs: See :class:`kd_det.precompute.autoencoder.AutoEncoderStage`.
        lr: See :class:`kd_det.precompute.autoencoder.AutoEncoderStage`.
        p: See :class:`kd_det.precompute.autoencoder.AutoEncoderStage`.
        seed: See :class:`kd_det.precompute.autoencoder.AutoEncoderStage`.

    Raises:
        UserError: An existing file does not match.

    Paper: https://arxiv.org/abs/2107.00181

    Example:
        >>> custom_hooks = [dict(type='kd_det.AutoEncoderHook', epochs=30)]
    """

    priority = 'HIGH'  # before hooks that read the knowledge

    def __init__(
        self, epochs: int = 30, lr: float = 0.1, p: int = 1, seed: int = 0
    ) -> None:
        self.stage = AutoEncoderStage(epochs, lr, p, seed)

    def before_train(self, runner) -> None:
        """Give every distiller its auto-encoder."""
        model = unwrap(runner.model)
        require_pair(self, model)
        self.stage.provide_all(with_auto_encoder(model), RunData.of(runner))
