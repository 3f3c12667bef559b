"""The cells of the matrix of detectors and methods, as tiny pairs."""

from pathlib import Path

import numpy as np
import torch
from mmengine.registry import init_default_scope

from kd_det.centroids import CentroidBank
from kd_det.models import DistillModel
from kd_det.registry import MODELS
from kd_det.testing import tiny_batch, tiny_pair

NUM = 6
SDD = dict(type='SDDLoss', base=dict(type='KDLoss'))
# Method -> its losses on the class layer of a box head or a dense head.
HEAD = {
    'KD': dict(type='KDLoss'),
    'ND': dict(type='NDLoss'),
    'DKD': dict(type='DKDLoss', beta=0.25, tau=1.0),
    'NKD': dict(type='NKDLoss'),
    'DIST': dict(type='DISTLoss'),
    'SDD': SDD,
    'SRRL': dict(type='SoftmaxRegressionLoss'),
    'RKD': dict(type='RKDAngleLoss'),
}
DENSE = {
    **HEAD,
    'dense KD': dict(type='DenseKDLoss'),
    'SDD': dict(SDD, base=dict(type='SigmoidKDLoss')),
}
BCKD = {
    'BCKD': dict(type='BCKDClassLoss'),
    'BCKD/box': dict(type='BCKDBoxLoss'),
}
LD = {'LD': dict(type='LDLoss')}
CROSS = {
    'CrossKD': dict(type='CrossKDClassLoss'),
    'CrossKD/box': dict(type='CrossKDBoxLoss'),
}
# the teacher is untrained, so that its boxes should be no bound
BOUNDED = {'bounded': dict(type='TeacherBoundedLoss', margin=100.0)}
MASK = {'mask KD': dict(type='MaskKDLoss')}
QUERY = {
    'query KD': dict(type='QueryKDLoss'),
    'query KD/box': dict(type='QueryBoxLoss'),
}
# Method -> its loss on feature maps.
MAPS = {
    'PKD': dict(type='PKDLoss'),
    'CWD': dict(type='CWDLoss'),
    'FitNet': dict(type='FitNetLoss'),
    'AT': dict(type='AttentionTransferLoss'),
    'RKD maps': dict(type='MapRelationLoss', base=dict(type='RKDAngleLoss')),
}
MGD = {'MGD': dict(type='MGDLoss')}
# all of its losses; a name ends ahead of the slash
FGD = {
    'FGD': dict(type='FGDFocalLoss'),
    'FGD/attention': dict(type='FGDAttentionLoss'),
    'FGD/global': dict(type='FGDGlobalLoss'),
}
REVIEW = {'ReviewKD': dict(type='ReviewKDLoss')}
# both halves
IE = {
    'IE-KD': dict(type='InheritanceLoss', p='cos'),
    'IE-KD/explore': dict(type='ExplorationLoss', p='cos'),
}
METHODS = [
    *HEAD,
    'dense KD',
    'BCKD',
    'LD',
    'CrossKD',
    'query KD',
    'bounded',
    'mask KD',
    *MAPS,
    *MGD,
    'FGD',
    *REVIEW,
    'IE-KD',
]

TWO_STAGE = ('faster_rcnn', 'mask_rcnn', 'double_head', 'cascade_rcnn')
CROSSING = ('retinanet', 'fcos', 'atss', 'gfl')
ONE_STAGE = ('retinanet', 'fcos', 'atss', 'gfl', 'rtmdet')
WITH_QUERIES = ('detr', 'deformable_detr', 'dino')


def named(methods):
    return {
        f'loss_{name.replace(" ", "_")}': cfg for name, cfg in methods.items()
    }


def head_of(family):
    """What distils the head of a family, and by which methods."""
    if family in TWO_STAGE:
        methods = {**HEAD, **BOUNDED}
        if family == 'double_head':
            del methods['SDD']  # its head takes two inputs
        own = dict(type='RoIDistiller', losses=named(methods))
        return dict(own, stage=0) if family == 'cascade_rcnn' else own
    if family in ONE_STAGE:
        methods = {**DENSE, **BCKD, **(LD if family == 'gfl' else {})}
        return dict(type='DenseDistiller', losses=named(methods))
    return None


def pair_of(family: str, folder: Path) -> DistillModel:
    """Build a pair of a family with the losses of all its methods."""
    distillers = dict(
        maps=dict(type='FeatureDistiller', losses=named({**MAPS, **FGD})),
        generated=dict(
            type='FeatureDistiller',
            losses=named(MGD),
            connectors=dict(student_feats=dict(type='MGDConnector')),
        ),
        review=dict(
            type='FeatureDistiller',
            losses=named(REVIEW),
            connectors=dict(student_feats=dict(type='ABFConnector')),
        ),
    )
    distillers['factor'] = dict(
        type='FactorDistiller',
        channels=4,
        auto_encoder=str(folder / 'auto_encoder.pth'),
        losses=named(IE),
    )
    if family in CROSSING:
        distillers['cross'] = dict(
            type='CrossHeadDistiller', losses=named(CROSS), depth=1
        )
    if family == 'mask_rcnn':
        distillers['mask'] = dict(type='MaskDistiller', losses=named(MASK))
    if family in WITH_QUERIES:
        distillers['query'] = dict(type='QueryDistiller', losses=named(QUERY))
    head = head_of(family)
    if head:
        distillers['head'] = dict(head, centroids=str(folder / 'bank.npz'))
    init_default_scope('mmdet')
    torch.manual_seed(0)
    cfg = tiny_pair(
        folder, student=family, teacher=family, distillers=distillers
    )
    model = MODELS.build(cfg)
    model.init_weights()
    factor = model.distill['factor']
    factor.set_auto_encoder(factor.new_auto_encoder())
    if head:
        expected = model.distill['head'].expected_bank()
        shape = expected['num_rows'], expected['width']
        means = np.random.default_rng(0).random(shape, np.float32)
        counts = np.ones(len(means), np.int64)
        bank = CentroidBank(means, counts, (), {})
        model.distill['head'].set_bank(bank)
    with torch.no_grad():  # an untrained one has next to the same to say
        for weight in model.teacher.parameters():  # everywhere
            weight.add_(torch.randn_like(weight), alpha=0.05)
    model.train()
    return model


def batch_for(model: DistillModel) -> dict:
    """Return two random images with objects, preprocessed."""
    return model.data_preprocessor(tiny_batch(model, size=(96, 128)), True)


def method_of(key: str) -> str:
    """Return the method of a logged loss such as ``maps.loss_FGD/global``."""
    name = key.partition('.')[2].removeprefix('loss_')
    return name.partition('/')[0].replace('_', ' ')
