"""The pair of a config as mmrazor's algorithms train it."""

import copy

from mmengine.registry import MODELS as ROOT
from torch import nn

from kd_det.compat import mmrazor
from kd_det.distillers import Distiller
from kd_det.errors import UserError
from kd_det.models import DistillModel, FrozenTeacher

WHOLE, FPN = 'SingleTeacherDistill', 'FpnTeacherDistill'
# layer with the logits, by distiller
LOGITS = dict(
    RoIDistiller='roi_head.bbox_head.fc_cls', LogitDistiller='head.fc'
)
# its loss, whose second input are the labels
LABELS = dict(
    RoIDistiller='roi_head.bbox_head.loss_cls',
    LogitDistiller='head.loss_module',
)
INPUTS = dict(preds_S=True, preds_T=False)  # name -> whether the student's


def mmrazor_pairs(
    model: DistillModel, teacher: FrozenTeacher
) -> dict[str, nn.Module]:
    """Return a pair with the same losses for each algorithm of mmrazor.

    ``SingleTeacherDistill`` runs the teacher's own loss, proposals and box
    head included; ``FpnTeacherDistill``, for losses on feature maps alone, its
    backbone and neck.

    Args:
        model: The pair, whose student is copied.
        teacher: A copy of its teacher as it was loaded; used up.

    Raises:
        UserError: mmrazor is not installed, or has no counterpart of a loss.
    """
    mmrazor.ensure_importable()
    entries = [
        entry
        for name, distiller in model.distill.items()
        for key, loss in distiller.losses.items()
        for entry in _entries(f'{name}.{key}', distiller, loss)
    ]
    distiller = _distiller(entries)
    on_maps = all(loss['type'] == 'PKDLoss' for _, loss, *_ in entries)
    network = teacher.model
    del network.extract_feat  # ours
    return {
        kind: ROOT.build(
            dict(
                _scope_='mmrazor',
                type=kind,
                architecture=copy.deepcopy(model.student),
                teacher=copy.deepcopy(network),
                distiller=copy.deepcopy(distiller),
            )
        )
        for kind in ((WHOLE, FPN) if on_maps else (WHOLE,))
    }


def _entries(key: str, distiller: Distiller, loss: nn.Module) -> list[tuple]:
    """Return (layer, loss config, index in its output, layer of the labels)
    for mmrazor."""
    kind, owner = type(loss).__name__, type(distiller).__name__
    weight = loss.config_weight
    necks = getattr(distiller, 'by_stride', False)
    if kind == 'PKDLoss' and necks and not distiller.connectors:
        if all(ours == theirs for ours, theirs in distiller.levels):
            own = dict(type=kind, loss_weight=weight)
            return [
                ('neck', own, level, None) for level, _ in distiller.levels
            ]
    if kind == 'KDLoss' and owner in LOGITS:
        own = dict(type='KLDivergence', tau=loss.tau, loss_weight=weight)
        return [(LOGITS[owner], own, None, None)]
    if kind == 'DKDLoss' and owner in LOGITS:
        own = {key: getattr(loss, key) for key in ('tau', 'alpha', 'beta')}
        own |= dict(type=kind, loss_weight=weight)
        return [(LOGITS[owner], own, None, LABELS[owner])]
    raise UserError(
        f'--mmrazor: there is no counterpart of {key} ({kind} of '
        f'{owner}) in mmrazor; accepted are PKDLoss of a FeatureDistiller on '
        'two necks with equal levels, and KDLoss and DKDLoss of '
        f'{" or ".join(LOGITS)}.'
    )


def _distiller(entries: list[tuple]) -> dict:
    cfg = dict(
        type='ConfigurableDistiller',
        distill_losses={},
        student_recorders={},
        teacher_recorders={},
        loss_forward_mappings={},
    )
    for number, (source, loss, index, labels) in enumerate(entries):
        key = f'loss_{number}'
        for side in ('student_recorders', 'teacher_recorders'):
            cfg[side][source] = dict(type='ModuleOutputs', source=source)
        cfg['distill_losses'][key] = loss
        place = {} if index is None else dict(data_idx=index)
        cfg['loss_forward_mappings'][key] = {
            name: dict(recorder=source, from_student=own, **place)
            for name, own in INPUTS.items()
        }
        if labels is not None:
            recorder = dict(type='ModuleInputs', source=labels)
            cfg['student_recorders'][labels] = recorder
            cfg['loss_forward_mappings'][key]['gt_labels'] = dict(
                recorder=labels, from_student=True, data_idx=1
            )
    return cfg
