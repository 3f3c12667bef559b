"""Registries of scope ``kd_det``: children of mmengine's, filled lazily."""

from mmengine.registry import DATA_SAMPLERS as MMENGINE_DATA_SAMPLERS
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import Registry

from kd_det.compat.torchvision import ensure_importable

ensure_importable()  # every package of the family imports torchvision


def _child(name: str, parent: Registry, *modules: str) -> Registry:
    locations = [f'kd_det.{module}' for module in modules]
    return Registry(name, parent=parent, scope='kd_det', locations=locations)


MODELS = _child(
    'model', MMENGINE_MODELS, 'losses', 'connectors', 'distillers', 'models'
)
HOOKS = _child('hook', MMENGINE_HOOKS, 'engine.hooks')
METRICS = _child('metric', MMENGINE_METRICS, 'evaluation')
DATASETS = _child('dataset', MMENGINE_DATASETS, 'datasets')
TRANSFORMS = _child('transform', MMENGINE_TRANSFORMS, 'datasets')
DATA_SAMPLERS = _child('data sampler', MMENGINE_DATA_SAMPLERS, 'datasets')
