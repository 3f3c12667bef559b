"""Shared parts of the small backbones: stages and weight initialisation."""

from collections.abc import Callable, Iterable, Sequence

from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from kd_det.checks import check_choice
from kd_det.errors import UserError

# Normal, fan out: as in public CIFAR code for most of these networks.
KAIMING = [
    dict(type='Kaiming', layer='Conv2d', mode='fan_out', bias=0),
    dict(type='Constant', layer='_BatchNorm', val=1, bias=0),
]


class Stage(nn.Sequential):
    """Units, each followed by a ReLU; the last ReLU is ``relu``.

    At any depth ``<stage>`` is thus the tap point for the stage's feature map,
    and ``<stage>.relu:input`` for the same map before its activation.

    Args:
        units: Modules that end before their activation.
    """

    def __init__(self, units: Iterable[nn.Module]) -> None:
        super().__init__(*units)
        self.relu = nn.ReLU()  # not in place, so that taps can keep its input

    def forward(self, x: Tensor) -> Tensor:
        """Return the activated feature map of the last unit."""
        *units, last, relu = self
        for unit in units:
            x = F.relu(unit(x))
        return relu(last(x))


class StagedBackbone(BaseModule):
    """A network whose ``forward`` returns the feature maps of some stages.

    Args:
        num_stages: Number of stages.
        out_indices: Stages whose feature maps are returned, counted from 0.
        init_cfg: As in MMEngine.

    Raises:
        UserError: A stage does not exist, or ``out_indices`` is empty.
    """

    def __init__(
        self,
        num_stages: int,
        out_indices: Sequence[int],
        init_cfg: dict | list[dict] | None,
    ) -> None:
        super().__init__(init_cfg)
        accepted = range(num_stages)
        if not (
            isinstance(out_indices, (tuple, list))
            and out_indices
            and all(index in accepted for index in out_indices)
        ):
            raise UserError(
                f'{type(self).__name__} has out_indices={out_indices!r}; a '
                f'tuple of stages from 0 to {num_stages - 1} is accepted.'
            )
        self.out_indices = tuple(out_indices)

    def run(
        self, x: Tensor, *stages: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, ...]:
        """Return the feature maps of ``out_indices``, shallow to deep."""
        maps = []
        for index, stage in enumerate(stages):
            x = stage(x)
            if index in self.out_indices:
                maps.append(x)
        return tuple(maps)


def blocks_per_stage(name: str, depth: int, plus: int) -> int:
    """Return n for a network of depth 6n + ``plus``, or raise a UserError."""
    blocks, rest = divmod(depth - plus, 6)
    if blocks < 1 or rest:
        some = ', '.join(str(6 * n + plus) for n in (1, 2, 3))
        raise UserError(
            f'{name} has depth={depth!r}; 6n + {plus} is accepted, such as '
            f'{some}.'
        )
    return blocks


def first_conv(
    channels: int, stem: str, kernel_size: int = 3, stride: int = 1
) -> nn.Conv2d:
    """Return the stem's convolution: the given one, or 7x7 with stride 2."""
    if check_choice('Backbone', 'stem', stem, ('cifar', 'cub')) == 'cub':
        kernel_size, stride = 7, 2
    return conv(3, channels, kernel_size, stride)


def conv(
    channels_in: int,
    channels: int,
    kernel_size: int,
    stride: int = 1,
    groups: int = 1,
) -> nn.Conv2d:
    """Return a convolution without bias, padded to keep the size."""
    return nn.Conv2d(
        channels_in,
        channels,
        kernel_size,
        stride,
        kernel_size // 2,
        groups=groups,
        bias=False,
    )


def projection(channels_in: int, channels: int, stride: int) -> nn.Module:
    """Return a residual block's shortcut: 1x1 if the shape changes."""
    if stride == 1 and channels_in == channels:
        return nn.Identity()
    return nn.Sequential(
        conv(channels_in, channels, 1, stride), nn.BatchNorm2d(channels)
    )


def shuffle_channels(x: Tensor, groups: int) -> Tensor:
    """Interleave the channels of ``groups`` equal groups, of (N, C, H, W)."""
    return x.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1, 2)
