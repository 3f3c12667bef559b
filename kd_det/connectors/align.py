"""AlignConnector: matches the teacher's channels and sizes."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from kd_det.connectors.base import Connector, Field
from kd_det.errors import UserError
from kd_det.registry import MODELS


@MODELS.register_module()
class AlignConnector(Connector):
    """A 1x1 convolution if channels differ, and resizing if sizes differ.

    :class:`FeatureDistiller` adds it automatically for losses that compare
    feature maps element-wise, if the config sets no connector.

    Args:
        in_channels: Channels of the student's levels.
        out_channels: Channels of the teacher's levels.

    Raises:
        UserError: The channels are not two lists of positive integers of the
            same length.
    """

    on_maps = True

    def __init__(
        self, in_channels: Sequence[int], out_channels: Sequence[int]
    ) -> None:
        super().__init__(in_channels, out_channels)
        self.check_levels()
        self.levels = nn.ModuleList(
            nn.Identity() if ours == theirs else nn.Conv2d(ours, theirs, 1)
            for ours, theirs in zip(in_channels, out_channels)
        )

    def forward(self, field: Field, like: Field) -> tuple[Tensor, ...]:
        """Return feature maps with the teacher's shapes.

        Args:
            field: Student feature maps (N, C, H, W).
            like: Teacher feature maps; only their shapes are used.

        Raises:
            UserError: The number of levels or channels differs from the
                constructor's.
        """
        if not len(field) == len(like) == len(self.levels):
            raise UserError(
                f'AlignConnector was built for {len(self.levels)} levels, '
                f'but got {len(field)} of the student and {len(like)} of the '
                'teacher; set the same number of tap points for both.'
            )
        levels = enumerate(zip(field, like))
        return tuple(self._align(*pair, level) for level, pair in levels)

    def _align(self, x: Tensor, like: Tensor, level: int) -> Tensor:
        self.check_shapes(x, like, level)
        x = self.levels[level](x)
        if x.shape[2:] == like.shape[2:]:
            return x
        return F.interpolate(x, like.shape[2:], mode='bilinear')
