"""Training steps to check: a student alone, and its pairs."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope

from kd_det import random_state
from kd_det.centroids import CentroidBank
from kd_det.models import FrozenTeacher
from kd_det.models.spec import read_spec
from kd_det.registry import MODELS
from kd_det.testing import save_teacher, tiny_batch, tiny_detector
from kd_det.testing.detectors import BASE

CLASSES = 6
ALONE = 'student alone'


@dataclass(frozen=True)
class Size:
    """Size of the networks and images of a step.

    Attributes:
        student: Spec of a Faster R-CNN.
        teacher: Spec of a Faster R-CNN.
        width: Width of the teacher's embedding.
        image: Height and width in pixels.
        images: Batch size.
    """

    student: dict
    teacher: dict
    width: int
    image: tuple[int, int]
    images: int = 2


def tiny() -> Size:
    """Return networks with 16 channels."""
    student, teacher = (
        tiny_detector('faster_rcnn', depth, CLASSES) for depth in (18, 50)
    )
    return Size(student, teacher, 32, (64, 96))


def full() -> Size:
    """Return R-101 to R-50 with 256 channels on COCO-sized images."""
    student, teacher = (
        dict(
            cfg=BASE,
            backbone=dict(depth=depth, init_cfg=None),
            num_classes=CLASSES,
        )
        for depth in (50, 101)
    )
    return Size(student, teacher, 1024, (800, 1088))


class Steps:
    """Training steps of a student alone and with each method.

    The student has the same weights in all of them and keeps them, since the
    learning rate is 0, so all steps do the same computation.

    Args:
        size: Size of the networks.
        folder: Folder for a random teacher and its class means.
        device: Device of all networks.
    """

    def __init__(
        self, size: Size, folder: str | Path, device: torch.device
    ) -> None:
        init_default_scope('mmdet')
        self.size, self.device = size, device
        self.teacher = save_teacher(size.teacher, f'{folder}/teacher.pth')
        bank = f'{folder}/bank.npz'
        means = torch.rand(CLASSES + 1, size.width, generator=_generator())
        names = (*map(str, range(CLASSES)), 'background')
        counts = np.ones(len(names), np.int64)
        CentroidBank(means.numpy(), counts, names).save(bank)
        self.distillers = dict(
            KD=_roi(dict(loss_kd=dict(type='KDLoss'))),
            ND=_roi(dict(loss_nd=dict(type='NDLoss')), centroids=bank),
            PKD=dict(
                type='FeatureDistiller',
                losses=dict(loss_pkd=dict(type='PKDLoss')),
            ),
        )

    def model(self, method: str | None = None) -> BaseModel:
        """Return a pair, or the student alone without a method."""
        with random_state.isolated():
            random_state.seed_all(1)
            if method is None:
                cfg = read_spec(self.size.student, '')[0]
            else:
                cfg = dict(
                    _scope_='kd_det',
                    type='DistillModel',
                    student=self.size.student,
                    teacher=self.teacher,
                    distillers=dict(it=self.distillers[method]),
                )
            model = MODELS.build(cfg)
            model.init_weights()
        return model.to(self.device).train()

    def step(self, model: BaseModel) -> Callable[[], dict]:
        """Return a function that runs a step and returns its losses."""
        data = tiny_batch(model, self.size.images, self.size.image, CLASSES)
        sgd = torch.optim.SGD(model.parameters(), lr=0.0, momentum=0.9)
        wrapper = OptimWrapper(sgd)

        def run() -> dict:
            with random_state.isolated():
                random_state.seed_all(2)
                return model.train_step(data, wrapper)

        return run

    def floor(self) -> Callable[[], object]:
        """Return a student step plus a teacher forward pass."""
        alone = self.step(self.model())
        teacher = FrozenTeacher(self.teacher).to(self.device)
        data = tiny_batch(
            teacher.model, self.size.images, self.size.image, CLASSES
        )
        preprocess = teacher.model.data_preprocessor
        images = preprocess(data)['inputs']

        def run() -> None:
            alone()
            teacher.extract_feat(images)

        return run


def _roi(losses: dict, **kwargs) -> dict:
    return dict(type='RoIDistiller', losses=losses, **kwargs)


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
