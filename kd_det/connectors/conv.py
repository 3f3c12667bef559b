"""ConvAdaptor and LinearAdaptor: one layer, batch norm and ReLU."""

from collections.abc import Iterable

from torch import Tensor, nn

from kd_det.checks import check_choice, check_count
from kd_det.connectors.base import Channels, Connector, Field
from kd_det.errors import UserError
from kd_det.registry import MODELS


@MODELS.register_module()
class ConvAdaptor(Connector):
    r"""A 1x1 convolution, batch norm and ReLU for one or more feature maps.

    .. math:: y = \mathrm{ReLU}(\mathrm{BN}(\mathrm{conv}_{1 \times 1} x))

    It is SRRL's adaptor and FitNet's regressor. It only changes the number of
    channels, not the spatial size.

    Args:
        in_channels: Channels of the student's map, or of each level.
        out_channels: Channels of the teacher's map, or of each level.
        relu: Whether to use the ReLU. Set it to False if the teacher's maps
            have negative entries.

    Raises:
        UserError: The channels are neither two positive integers nor two lists
            of the same length.

    Paper: https://openreview.net/forum?id=ZzwDy_wiWv
    """

    on_maps = True

    def __init__(
        self, in_channels: Channels, out_channels: Channels, relu: bool = True
    ) -> None:
        super().__init__(in_channels, out_channels)
        check_choice(self, 'relu', relu, (True, False))
        if isinstance(in_channels, int) and isinstance(out_channels, int):
            check_count(self, 'in_channels', in_channels, 1)
            check_count(self, 'out_channels', out_channels, 1)
            widths: Iterable = [(in_channels, out_channels)]
        else:
            widths = zip(*self.check_levels())
        self.blocks = nn.ModuleList(
            _block(nn.Conv2d(ours, theirs, 1, bias=False), relu)
            for ours, theirs in widths
        )

    def forward(self, field: Field, like: Field) -> Field:
        """Return the feature maps with the teacher's channels.

        Args:
            field: Student feature map (N, C, H, W), or a sequence of them.
            like: Teacher feature maps; only their channels are used.

        Raises:
            UserError: The number of levels or channels differs from the
                constructor's, or batch norm would get a single pixel in
                training.
        """
        if isinstance(field, Tensor) and isinstance(like, Tensor):
            return self._adapt(field, like, 0)
        if not len(field) == len(like) == len(self.blocks):
            raise UserError(
                f'ConvAdaptor was built for {len(self.blocks)} levels, but '
                f'got {len(field)} of the student and {len(like)} of the '
                'teacher; set the same number of tap points for both.'
            )
        levels = zip(field, like, range(len(field)))
        return tuple(self._adapt(*level) for level in levels)

    def _adapt(self, x: Tensor, like: Tensor, level: int) -> Tensor:
        self.check_shapes(x, like, level)
        self.check_batch(x)
        return self.blocks[level](x)


@MODELS.register_module()
class LinearAdaptor(Connector):
    r"""A linear layer, batch norm and ReLU: :class:`ConvAdaptor` for vectors.

    .. math:: y = \mathrm{ReLU}(\mathrm{BN}(W x))

    On a pooled map it is not equivalent to a convolution before pooling, since
    batch norm and ReLU do not commute with the mean.

    Args:
        in_channels: Width of the student's embedding.
        out_channels: Width of the teacher's.
        relu: Whether to use the ReLU. Set it to False if the teacher's
            embeddings have negative entries.

    Raises:
        UserError: A width is not a positive integer.
    """

    on_maps = False

    def __init__(
        self, in_channels: int, out_channels: int, relu: bool = True
    ) -> None:
        super().__init__(in_channels, out_channels)
        check_choice(self, 'relu', relu, (True, False))
        check_count(self, 'in_channels', in_channels, 1)
        check_count(self, 'out_channels', out_channels, 1)
        layer = nn.Linear(in_channels, out_channels, bias=False)
        self.block = _block(layer, relu)

    def forward(self, field: Tensor, like: Tensor) -> Tensor:
        """Return an embedding (N, D) with the teacher's width.

        Args:
            field: Student embedding (N, in_channels).
            like: Teacher embedding (N, out_channels); only its shape is used.

        Raises:
            UserError: A width differs from the constructor's, or there is a
                single sample in training.
        """
        self.check_shapes(field, like)
        self.check_batch(field)
        return self.block(field)


def _block(layer: nn.Conv2d | nn.Linear, relu: bool) -> nn.Sequential:
    """Initialise a layer and append batch norm and ReLU."""
    is_conv = isinstance(layer, nn.Conv2d)
    norm = nn.BatchNorm2d if is_conv else nn.BatchNorm1d
    nn.init.kaiming_normal_(layer.weight, mode='fan_out', nonlinearity='relu')
    layers = [layer, norm(layer.weight.shape[0])]
    return nn.Sequential(*layers, *([nn.ReLU()] if relu else []))
