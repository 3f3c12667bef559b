"""Small test inputs for all functions and losses."""

import importlib.util
import inspect
from collections.abc import Callable

import torch
from torch import Tensor

from kd_det import functional, losses
from kd_det.losses import DistillLoss
from kd_det.registry import MODELS

ROWS, CLASSES, WIDTH, REGIONS = 12, 7, 16, 5  # the last class: background

# constructor arguments of some losses
NEEDED = dict(
    ExploreMapLoss=dict(base=dict(type='AttentionTransferLoss')),
    InheritMapLoss=dict(base=dict(type='AttentionTransferLoss')),
    MapRelationLoss=dict(base=dict(type='RKDDistanceLoss')),
    SDDLoss=dict(base=dict(type='KDLoss')),
    SIFNLoss=dict(num_classes=CLASSES),
    TripletLoss=dict(mining='all'),  # the others are random
)
# base classes, and losses of another library
ABSTRACT = ('DistillLoss', 'LogitLoss', 'RelationalLoss', 'MMRazorLoss')
# fields that have a default but are passed
OPTIONAL = ('foreground', 'rois', 'feat_masks', 'dense_mask', 'region_mask')
# arguments that get a gradient
TRAINED = (
    'student',
    'cross',
    'factor',
    'generated',
    'embeddings',
    'feature_map',
    'x',
)


def inputs() -> dict:
    """Return deterministic arguments by name, in float64 on the CPU."""
    draw = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw, dtype=torch.float64)

    def pair(kind: str, make: Callable) -> dict:
        return {f'{side}_{kind}': make() for side in ('student', 'teacher')}

    def maps() -> list[Tensor]:
        return [normal(3, WIDTH, 6, 10), normal(3, WIDTH, 3, 5)]

    labels = torch.arange(ROWS) % CLASSES
    corner = normal(ROWS, 2) * 20
    boxes = torch.cat([corner, corner + 10 + normal(ROWS, 2).abs()], dim=1)
    corner = normal(40, 2) * 20
    dense_boxes = torch.cat([corner, corner + 30], dim=1)
    masks = [torch.ones(3, 1, *m.shape[2:], dtype=torch.bool) for m in maps()]
    for mask in masks:
        mask[0, :, :, -2:] = False
    areas = [torch.zeros(3, *m.shape[2:], dtype=torch.float64) for m in maps()]
    for level in areas:
        level[:, 1, :2] = 2
    return dict(
        pair('logits', lambda: normal(ROWS, CLASSES)),
        **pair('embed', lambda: normal(ROWS, WIDTH)),
        **pair('region_logits', lambda: normal(ROWS, CLASSES, REGIONS)),
        **pair('dense_logits', lambda: normal(40, CLASSES)),
        **pair('corners', lambda: normal(ROWS, 4, 8)),
        **pair('feats', maps),
        **pair('factors', maps),
        **pair('map', lambda: normal(3, WIDTH, 6, 10)),
        **pair('feat', lambda: normal(3, WIDTH, 6, 10)),
        **pair('factor', lambda: normal(3, WIDTH, 6, 10)),
        generated_feat=normal(3, WIDTH, 6, 10),
        areas=areas[0],
        feat_areas=areas,
        student=normal(ROWS, WIDTH),
        teacher=normal(ROWS, WIDTH),
        student_inherit_feats=maps(),
        student_explore_feats=maps(),
        student_inherit_factors=maps(),
        student_explore_factors=maps(),
        student_reconstructions=maps(),
        cross_logits=normal(ROWS, CLASSES),
        cross_boxes=normal(ROWS, 4),
        cross_dense_logits=normal(40, CLASSES),
        cross_dense_corners=normal(40, 4, 8),
        teacher_dense_corners=normal(40, 4, 8),
        cross_dense_boxes=dense_boxes + normal(40, 4),
        student_dense_boxes=dense_boxes + normal(40, 4),
        teacher_dense_boxes=dense_boxes,
        **pair('masks', lambda: normal(ROWS, 6, 6)),
        student_boxes=normal(ROWS, 4),
        teacher_boxes=normal(ROWS, 4),
        **pair('query_logits', lambda: normal(ROWS, CLASSES)),
        **pair('query_boxes', lambda: normal(ROWS, 4)),
        query_weights=normal(ROWS).sigmoid(),
        factor=normal(3, WIDTH, 6, 10),
        feature_map=normal(3, WIDTH, 6, 10),
        embeddings=normal(ROWS, WIDTH),
        x=normal(ROWS, WIDTH),
        y=normal(ROWS, WIDTH),
        centroids=normal(CLASSES, WIDTH),
        previous_norms=normal(ROWS).abs(),
        margin=-normal(WIDTH).abs(),
        teacher_margins=[-normal(WIDTH).abs(), -normal(WIDTH).abs()],
        bn_weight=normal(WIDTH),
        bn_bias=normal(WIDTH),
        labels=labels,
        region_labels=labels,
        foreground=labels < CLASSES - 1,
        region_mask=torch.arange(ROWS * REGIONS).view(ROWS, REGIONS) % 3 > 0,
        dense_foreground=torch.arange(40) % 5 == 0,
        dense_mask=torch.arange(40) < 35,
        rois=torch.cat([(labels % 2)[:, None], boxes], dim=1),
        feat_masks=masks,
        num_classes=CLASSES,
        ks=(1, 3),
        step=0.5,
        tau=0.5,
        base=functional.dkd_loss,
        **pair('deltas', lambda: normal(ROWS, 4)),
        target_deltas=normal(ROWS, 4),
    )


def functions() -> dict[str, Callable]:
    """Return the functions of ``kd_det.functional`` by name."""
    return {name: getattr(functional, name) for name in functional.__all__}


def modules() -> dict[str, DistillLoss]:
    """Return one loss of each class in ``kd_det.losses`` by name."""
    names = [name for name in losses.__all__ if name not in ABSTRACT]
    if importlib.util.find_spec('pytorch_metric_learning') is None:
        names.remove('TripletLoss')
    built = {
        name: MODELS.build(dict(type=f'kd_det.{name}', **NEEDED.get(name, {})))
        for name in names
    }
    for loss in built.values():
        if isinstance(loss, DistillLoss):
            loss.build_weights([WIDTH, WIDTH])
    return built


def arguments(loss: Callable, given: dict) -> dict:
    """Return the inputs that a function or loss takes."""
    if isinstance(loss, DistillLoss):
        fields = loss.fields()
        names = [*fields.required, *fields.optional]
        return {n: given[n] for n in names}
    if isinstance(loss, torch.nn.Module):
        loss = loss.forward
    found = {}
    for name, parameter in inspect.signature(loss).parameters.items():
        if parameter.default is parameter.empty or name in OPTIONAL:
            found[name] = given[name]
    return found


def placed(value, device: torch.device, dtype: torch.dtype):
    """Move an input to a device, and convert floating tensors to a dtype."""
    if isinstance(value, (list, tuple)):
        return type(value)(placed(item, device, dtype) for item in value)
    if not isinstance(value, Tensor):
        return value
    if value.is_floating_point():
        value = value.to(dtype)
    return value.detach().to(device, copy=True)


def trained(given: dict) -> list[Tensor]:
    """Return the tensors that get a gradient."""
    return [
        tensor
        for name, value in given.items()
        if name.split('_')[0] in TRAINED or name in TRAINED
        for tensor in tensors(value)
    ]


def tensors(value) -> list[Tensor]:
    """Return the tensors in a result or argument; numbers become tensors."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, (list, tuple)):
        return [tensor for item in value for tensor in tensors(item)]
    if isinstance(value, dict):
        return tensors([*value.values()])
    return [torch.tensor(value)] if isinstance(value, (int, float)) else []
