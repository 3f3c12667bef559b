"""From the few lines of a config to the full config of one network."""

import os.path as osp

from mmengine.config import Config, ConfigDict
from mmengine.hub import get_config

from kd_det.config import set_num_classes
from kd_det.errors import UserError


def read_spec(spec: dict, side: str) -> tuple[ConfigDict, Config]:
    """Resolve ``dict(cfg=..., num_classes=..., **overrides)``.

    ``cfg`` names a config of an installed package
    (``'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'``) or a file; what
    else stands in ``spec`` overrides its ``model``. Without ``cfg`` the spec
    is itself the model.

    Args:
        spec: The config of one side of the pair.
        side: ``'student'`` or ``'teacher'``, for messages.

    Returns:
        The model config, ready to build, and the whole config it is from
        (empty without ``cfg``).

    Raises:
        UserError: The config does not exist or has no model.
    """
    overrides = dict(spec)
    source = overrides.pop('cfg', None)
    num_classes = overrides.pop('num_classes', None)
    whole = Config() if source is None else _load(source, side)
    if source is None:
        whole.model = overrides
    else:
        whole.merge_from_dict(dict(model=overrides))
    if 'type' not in whole.get('model', {}):
        raise UserError(
            f'The {side} has no model: give cfg=… (a config with a `model`) '
            f'or type=…; got keys {sorted(spec)}.'
        )
    model = whole.model
    model.setdefault('_scope_', whole.get('default_scope', 'mmdet'))
    if whole.get('data_preprocessor'):
        model.setdefault('data_preprocessor', whole.data_preprocessor)
    if num_classes is not None:
        set_num_classes(model, num_classes)
    return model, whole


def _load(source: str, side: str) -> Config:
    is_package = '::' in source
    try:
        return get_config(source) if is_package else Config.fromfile(source)
    except (FileNotFoundError, ValueError, KeyError) as error:
        where = (
            f'package {source.partition("::")[0]!r} has no such config'
            if is_package
            else f'looked in {osp.abspath(source)!r}'
        )
        raise UserError(
            f'The {side} config {source!r} cannot be read: {where} '
            f'({str(error).splitlines()[0][:120]}).'
        ) from None
