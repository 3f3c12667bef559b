"""Key mappings: weights of other code bases under the names of ours.

A mapping takes a ``state_dict`` and returns one in the layout of an
mmpretrain ``ImageClassifier``: ``backbone.…`` and ``head.fc.…``; those of
mmrazor return one network of a pair in its own layout, detectors too. Keys
that a mapping does not know stay as they are, so that a strict load can name
them.
"""

import re
from collections.abc import Callable

from torch import Tensor

from kd_det.errors import UserError

Mapping = Callable[[dict[str, Tensor]], dict[str, Tensor]]
Rule = tuple[str, str | Callable[[re.Match], str]]


def _renaming(name: str, rules: tuple[Rule, ...]) -> Mapping:
    """Make a mapping in which the first rule whose pattern fits decides."""

    def rename(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
        renamed = {}
        for key, value in state_dict.items():
            bare = new = key.removeprefix('module.')
            for pattern, replacement in rules:
                new, fits = re.subn(pattern, replacement, bare)
                if fits:
                    break
            if new in renamed:
                raise UserError(
                    f'Key mapping {name!r} gives two weights the name '
                    f'{new!r}, the second of them {key!r}; the file is of '
                    'another layout.'
                )
            renamed[new] = value
        return renamed

    return rename


def _vgg_unit(match: re.Match) -> str:
    # convolution, norm and activation in turn, the units after each other
    stage, index = match[1], int(match[2])
    part = ('conv', 'bn')[index % 3]
    return f'backbone.block{stage}.{index // 3}.{part}.'


def _mobilenet_v1_part(match: re.Match) -> str:
    # one row of units, the stem first; those at 1, 4, 6 and 12 begin a stage
    index, part = int(match[1]), int(match[2])
    name = f'{("conv", "bn")[part % 3]}{part // 3 + 1}.'
    if index == 0:
        return f'backbone.{name}'
    begins = [begin for begin in (1, 4, 6, 12) if begin <= index]
    return f'backbone.layer{len(begins)}.{index - begins[-1]}.{name}'


# what a distillation of mmrazor saves: the student, the teacher, and the
# connectors and losses
MMRAZOR = ('architecture.', 'teacher.', 'distiller.')


def _part_of_mmrazor(prefix: str) -> Mapping:
    """Make a mapping that takes one network out of mmrazor's pair."""

    def take(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
        bare = {k.removeprefix('module.'): v for k, v in state_dict.items()}
        return {
            key.removeprefix(prefix): value
            for key, value in bare.items()
            if key.startswith(prefix) or not key.startswith(MMRAZOR)
        }

    return take


KEY_MAPPINGS: dict[str, Mapping] = {
    # the CIFAR-10 ResNets of github.com/akamaster/pytorch_resnet_cifar10
    'akamaster': _renaming(
        'akamaster',
        (
            (r'^linear\.', 'head.fc.'),
            (r'^((?:conv1|bn1|layer[123])\.)', r'backbone.\1'),
        ),
    ),
    # the CIFAR networks of github.com/HobbitLong/RepDistiller, which
    # mdistiller, ReviewKD and SDD share, and mdistiller's MobileNetV1
    'repdistiller': _renaming(
        'repdistiller',
        (
            (r'^(?:fc|linear|classifier(?:\.0)?)\.', 'head.fc.'),
            # ResNet-50
            (r'^(layer\d\.\d\.)shortcut\.', r'backbone.\1downsample.'),
            # WRN
            (
                r'^block(\d)\.layer\.(\d+)\.convShortcut\.',
                r'backbone.layer\1.\2.shortcut.',
            ),
            (r'^block(\d)\.layer\.', r'backbone.layer\1.'),
            # VGG
            (r'^block(\d)\.([0134])\.', _vgg_unit),
            # MobileNetV1
            (r'^model\.(\d+)\.([0134])\.', _mobilenet_v1_part),
            # what has our names: ResNets, ShuffleNets, MobileNetV2
            (r'^((?:conv[12]|bn[12]|layer\d|blocks)\.)', r'backbone.\1'),
        ),
    ),
    # ResNets and RegNets of torchvision
    'torchvision': _renaming(
        'torchvision',
        (
            (r'^fc\.', 'head.fc.'),
            (r'^((?:conv1|bn1|layer\d|stem|trunk_output)\.)', r'backbone.\1'),
        ),
    ),
    # a checkpoint of mmrazor's distillation: its student, its teacher
    'mmrazor': _part_of_mmrazor('architecture.'),
    'mmrazor_teacher': _part_of_mmrazor('teacher.'),
}
