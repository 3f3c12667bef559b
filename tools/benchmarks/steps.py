"""Cost of each method in the training step of a small classifier."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.structures import BaseDataElement
from torch import nn

from benchmarks.comparison import Variant, compare, table
from kd_det import random_state
from kd_det.centroids import CentroidBank
from kd_det.models import DistillModel, FrozenTeacher
from kd_det.models.spec import read_spec
from kd_det.registry import MODELS

WIDTH = 64  # of a CIFAR ResNet's embedding
CLASSES = 100
TAU = 4.0
STAGES = ['backbone.layer1', 'backbone.layer2', 'backbone.layer3']


def steps(rounds: int, small: bool) -> Iterator[str]:
    """Yield the table of training steps with each method.

    The networks are CIFAR ResNets with random weights. A step is forward,
    backward and SGD with learning rate 0, so every round is the same. The
    student's own loss must be bit-identical in all of them.
    """
    depths, samples, size = ((8, 14), 4, 16) if small else ((20, 56), 64, 32)
    data = dict(
        inputs=torch.randint(256, (samples, 3, size, size), dtype=torch.uint8),
        data_samples=[
            BaseDataElement(gt_label=label[None])
            for label in torch.randint(CLASSES, (samples,))
        ],
    )
    student, teacher = (_classifier(depth) for depth in depths)
    title = (
        f'steps: ResNet-{depths[1]} -> ResNet-{depths[0]}, N={samples}, '
        f'{size} px, K={CLASSES}'
    )
    with TemporaryDirectory() as folder:
        teacher = dict(teacher, ckpt=f'{folder}/teacher.pth')
        _save_teacher(teacher, data)
        teacher['exact'] = True  # the same on every machine
        bank = f'{folder}/bank.npz'
        _save_bank(bank)
        alone = _step(_seeded(MODELS.build, read_spec(student, '')[0]), data)
        variants = {
            'student alone': alone,
            'floor: plus the teacher forward pass': _floor(
                alone, FrozenTeacher(teacher), data
            ),
        }
        for method, distiller in methods(bank).items():
            pair = _seeded(DistillModel, student, teacher, dict(it=distiller))
            variants[method] = _step(pair, data)
    timings = compare(title, variants, rounds, tolerance=0)
    columns = {'to alone': timings[0], 'to floor': timings[1]}
    yield f'{title}\n{table(timings, **columns)}'


def methods(bank: str) -> dict[str, dict]:
    """Return the distillers of each method.

    Args:
        bank: File with the teacher's class means.
    """
    kd = dict(type='KDLoss', tau=TAU)
    dkd = dict(type='DKDLoss', tau=TAU)
    losses = {
        'KD': dict(loss_kd=kd),
        'DKD': dict(loss_dkd=dkd),
        'NKD': dict(loss_nkd=dict(type='NKDLoss')),
        'DIST': dict(loss_dist=dict(type='DISTLoss', tau=TAU)),
        'ND + KD': dict(loss_nd=dict(type='NDLoss'), loss_kd=kd),
        'SD-KD': dict(loss_sdd=dict(type='SDDLoss', base=kd)),
        'SD-DKD': dict(loss_sdd=dict(type='SDDLoss', base=dkd)),
    }
    found = {
        method: dict(type='LogitDistiller', losses=terms)
        for method, terms in losses.items()
    }
    found['ND + KD']['centroids'] = bank
    found['ReviewKD'] = dict(
        type='FeatureDistiller',
        taps=dict(
            student=[*STAGES, 'neck'],
            teacher=[*(f'{stage}.relu:input' for stage in STAGES), 'neck'],
        ),
        connectors=dict(student_feats=dict(type='ABFConnector')),
        losses=dict(loss_review=dict(type='ReviewKDLoss')),
    )
    return found


def _classifier(depth: int) -> dict:
    return dict(
        _scope_='mmpretrain',
        type='ImageClassifier',
        data_preprocessor=dict(mean=[127.5] * 3, std=[64.0] * 3),
        backbone=dict(type='kd_det.CIFARResNet', depth=depth),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(
            type='LinearClsHead', num_classes=CLASSES, in_channels=WIDTH
        ),
    )


def _seeded(make, *args) -> BaseModel:
    """Build a model whose student always has the same weights."""
    with random_state.isolated():
        random_state.seed_all(1)
        return make(*args).train()


def _save_teacher(spec: dict, data: dict) -> None:
    network = {key: value for key, value in spec.items() if key != 'ckpt'}
    model = _seeded(MODELS.build, read_spec(network, '')[0])
    # The running statistics of a random network do not match any data, and its
    # logits would be in the thousands, so they are set from the batch.
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        model.extract_feat(model.data_preprocessor(data)['inputs'])
    torch.save(dict(state_dict=model.state_dict()), spec['ckpt'])


def _save_bank(path: str | Path) -> None:
    CentroidBank(
        torch.rand(CLASSES, WIDTH).numpy(),
        np.ones(CLASSES, np.int64),
        tuple(map(str, range(CLASSES))),
    ).save(path)


def _step(model: BaseModel, data: dict) -> Variant:
    sgd = torch.optim.SGD(
        model.parameters(), lr=0.0, momentum=0.9, weight_decay=5e-4
    )
    wrapper = OptimWrapper(sgd)

    def run() -> tuple:
        log = model.train_step(data, wrapper)
        return (log.get('loss_task', log['loss']).detach(),)

    return run


def _floor(alone: Variant, teacher: FrozenTeacher, data: dict) -> Variant:
    images = teacher.model.data_preprocessor(data)['inputs']

    def run() -> tuple:
        result = alone()
        with torch.no_grad():
            teacher.model.head(teacher.extract_feat(images))
        return result

    return run
