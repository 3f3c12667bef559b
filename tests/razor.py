"""Both systems at once: pairs of mmrazor and of kd_det, and the page."""

import copy
import re
import sys
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import MODELS as ROOT
from mmengine.registry import init_default_scope

from kd_det.centroids import CentroidBank
from kd_det.compat import mmrazor as bridge
from kd_det.losses import MMRazorLoss
from kd_det.models.spec import read_spec
from kd_det.registry import MODELS
from kd_det.testing import tiny_classifier_pair

PAGE = Path(__file__).parents[1] / 'docs/user_guides/mmrazor.md'
RECIPE = 'pkd/pkd_fpn_faster-rcnn_r101_faster-rcnn_r50_2x_coco.py'
FEATS = dict(preds_S='student_feats', preds_T='teacher_feats')
LOGITS = dict(preds_S='student_logits', preds_T='teacher_logits')
LEVELS = [f'neck.fpn_convs.{level}' for level in range(4)]


def rows(distiller):
    """The documented losses of a distiller, as configs."""
    pattern = r'^\| `mmrazor\.(\w+)` \| `(\w+)` \| `(.+?)` \|'
    return {
        kind: dict(eval(f'dict({text})'), type=f'mmrazor.{kind}')
        for kind, name, text in re.findall(pattern, PAGE.read_text(), re.M)
        if name == distiller
    }


def mmrazor_loss(kind, **kwargs):
    kwargs = dict(dict(inputs=FEATS), **kwargs)
    return MMRazorLoss('loss_x', dict(type=f'mmrazor.{kind}', **kwargs))


def draw(*shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=dtype)


def knowledge_of(model):
    """What the losses of each distiller of a pair are given."""
    seen = {}
    for name, distiller in model.distill.items():
        distiller.register_forward_pre_hook(
            lambda _, args, name=name: seen.update({name: args[0]})
        )
    return seen


def classifier_pair(folder, losses, teacher=None, **kwargs):
    init_default_scope('mmpretrain')
    cfg = tiny_classifier_pair(
        folder, dict(x=dict(type='LogitDistiller', losses=losses, **kwargs))
    )
    if teacher:
        cfg.teacher = teacher
    torch.manual_seed(0)
    model = MODELS.build(cfg)
    model.init_weights()
    return model.train()


def record(name, from_student, **index):
    return dict(recorder=name, from_student=from_student, **index)


def both(name, field, **index):
    """The mapping of a field of both networks to a recorder of both."""
    return {
        f'student_{field}': record(name, True, **index),
        f'teacher_{field}': record(name, False, **index),
    }


def shipped_distiller():
    """The distiller of mmrazor's PKD recipe for Faster R-CNN."""
    bridge.ensure_importable()
    folder = Path(sys.modules['mmrazor'].__file__).parent
    file = folder / '.mim/configs/distill/mmdet' / RECIPE
    return Config.fromfile(file).model.distiller.to_dict()


def mmrazor_cfg(student, teacher, distiller, kind):
    """The config of a pair of mmrazor with our student and teacher specs."""
    teacher = dict(teacher)
    ckpt = teacher.pop('ckpt')
    return dict(
        _scope_='mmrazor',
        type=kind,
        architecture=read_spec(student, 'student')[0],
        teacher=read_spec(teacher, 'teacher')[0],
        teacher_ckpt=ckpt,
        distiller=copy.deepcopy(distiller),
    )


def mmrazor_pair(student, teacher, distiller, kind='SingleTeacherDistill'):
    """Build and initialise a pair of mmrazor in train mode."""
    bridge.ensure_importable()
    torch.manual_seed(0)
    model = ROOT.build(mmrazor_cfg(student, teacher, distiller, kind))
    model.init_weights()
    model.train()  # it returns nothing
    return model


def save_bank(path, rows, width):
    torch.manual_seed(5)
    means = torch.randn(rows, width).numpy()
    names = tuple(map(str, range(rows)))
    CentroidBank(means, torch.ones(rows).numpy(), names).save(path)
    return str(path)
