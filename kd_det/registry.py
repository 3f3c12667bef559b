"""Registries of the scope ``kd_det``, children of MMEngine's."""

import inspect

from mmengine.registry import DATA_SAMPLERS as MMENGINE_DATA_SAMPLERS
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODEL_WRAPPERS as MMENGINE_MODEL_WRAPPERS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import (
    OPTIM_WRAPPER_CONSTRUCTORS as MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS,
)
from mmengine.registry import TASK_UTILS as MMENGINE_TASK_UTILS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import Registry

from kd_det.compat import mmrazor
from kd_det.compat.torchvision import ensure_importable
from kd_det.errors import UserError, nearest

ensure_importable()  # all OpenMMLab packages import torchvision


def _child(name: str, parent: Registry, *modules: str) -> Registry:
    locations = [f'kd_det.{module}' for module in modules]
    return Registry(name, parent=parent, scope='kd_det', locations=locations)


MODELS = _child(
    'model', MMENGINE_MODELS, 'losses', 'connectors', 'distillers', 'models'
)
MODEL_WRAPPERS = _child(
    'model wrapper', MMENGINE_MODEL_WRAPPERS, 'models.mutual_parallel'
)
HOOKS = _child('hook', MMENGINE_HOOKS, 'engine.hooks')
METRICS = _child(
    'metric',
    MMENGINE_METRICS,
    'evaluation.recall_at_k',
    'evaluation.episode_accuracy',
    'evaluation.cross_entropy',
)
DATASETS = _child(
    'dataset',
    MMENGINE_DATASETS,
    'datasets.cifar',
    'datasets.retrieval',
    'datasets.omniglot',
    'datasets.tiny_imagenet',
    'datasets.views',
)
TRANSFORMS = _child(
    'transform', MMENGINE_TRANSFORMS, 'datasets.reduced_images'
)
TASK_UTILS = _child('task util', MMENGINE_TASK_UTILS, 'distillers.mmrazor')
DATA_SAMPLERS = _child(
    'data sampler', MMENGINE_DATA_SAMPLERS, 'datasets.samplers'
)

OPTIM_WRAPPER_CONSTRUCTORS = _child(
    'optimizer wrapper constructor',
    MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS,
    'engine.peer_optim',
)


def build_part(name: str, cfg: dict, base: type):
    """Build one part of a pair, such as a loss or a distiller.

    Args:
        name: Path of the part in the config, for messages.
        cfg: Config of the part.
        base: Required base class.

    Raises:
        UserError: The config is not a dict, its type is unknown or not a
            ``base``, or its arguments are wrong.
    """
    if not isinstance(cfg, dict):
        raise UserError(
            f'{name} is {cfg!r}; a dict with the type of a {base.__name__} '
            'is accepted.'
        )
    if mmrazor.is_type(cfg):
        mmrazor.ensure_importable()
    kind = cfg.get('type')
    found = MODELS.get(kind) if kind and isinstance(kind, str) else kind
    if not (isinstance(found, type) and issubclass(found, base)):
        known = [
            key
            for key, value in MODELS.module_dict.items()
            if isinstance(value, type) and issubclass(value, base)
        ]
        what = 'of unknown type' if found is None else 'of the wrong type'
        raise UserError(
            f'{name} is {what} {kind!r}; accepted are '
            f'{", ".join(sorted(known))}{nearest(str(kind), known)}'
        )
    arguments = {k: v for k, v in cfg.items() if k not in ('type', '_scope_')}
    try:
        inspect.signature(found).bind(**arguments)
    except TypeError as error:
        raise UserError(
            f'{name} ({kind}) {error}; accepted are '
            f'{", ".join(inspect.signature(found).parameters)}.'
        ) from None
    # the class itself, since its name may be unknown in the default scope
    return MODELS.build(dict(cfg, type=found))
