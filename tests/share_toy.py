"""A tiny pair of CIFAR networks whose distillation pulls at the student."""

import ie_toy as toy
from mmengine.config import ConfigDict

from kd_det.testing import save_teacher

CONFIG = 'kd_resnet56_resnet20_short_cifar10'
LOSSES = dict(
    loss_fm=dict(type='FeatureMatchingLoss', loss_weight=3.0),
    loss_kd=dict(type='KDLoss', tau=4.0, loss_weight=0.9),
)
KEYS = ('logit.loss_fm', 'logit.loss_kd')
HOOK = dict(type='kd_det.GradientShareHook')


def pair(folder, losses=None, student=None) -> ConfigDict:
    """KD of the logits, and of the features behind a connector."""
    losses = losses or LOSSES
    connectors = {}
    if 'loss_fm' in losses:
        connectors = dict(student_map=dict(type='ConvAdaptor'))
    teacher = save_teacher(
        toy.network((4, 4, 8, 12)), folder / 'teacher.pth', toy.CLASSES
    )
    return ConfigDict(
        _scope_='kd_det',
        type='DistillModel',
        teacher=teacher,
        student=student or toy.network(),
        distillers=dict(
            logit=dict(
                type='LogitDistiller', losses=losses, connectors=connectors
            )
        ),
    )


def run(folder, root, hook=HOOK, name='run', **kwargs):
    """8 steps of 5 images; the hook instead of the config's own."""
    changes = kwargs.pop('changes', {})
    cfg = toy.run(
        CONFIG, folder / name, root, pair(folder, **kwargs), **changes
    )
    cfg.custom_hooks = [
        h for h in cfg.custom_hooks if 'GradientShare' not in h.type
    ]
    if hook:
        cfg.custom_hooks.append(dict(hook))
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    return cfg
