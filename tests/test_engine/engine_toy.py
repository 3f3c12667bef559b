"""A toy run by the real Runner: dropout, batch norm, augmentation, Adam."""

import itertools
import random

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from torch import nn
from torch.utils.data import Dataset

from kd_det.distillers import Distiller

NUMBERS = itertools.count()


class ToyData(Dataset):
    """Images of four numbers, augmented by all three generators."""

    metainfo = dict(classes=('a', 'b'))

    def __init__(self, size=14):
        self.size = size

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        noise = random.random() + np.random.rand() + torch.randn(4)
        sample = BaseDataElement(metainfo=dict(img_path=f'{index}.jpg'))
        return dict(inputs=index / 10 + noise, data_samples=sample)

    def get_data_info(self, index):
        """Every third image is higher than wide."""
        return dict(width=4, height=8 if index % 3 == 0 else 2)


class ToyModel(BaseModel):
    """``spoil`` may change the losses of a step, by its number."""

    def __init__(self, spoil=None):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(4, 8),
            nn.BatchNorm1d(8),
            nn.Dropout(0.5),
            nn.Linear(8, 2),
        )
        self.spoil = spoil
        self.step = 0

    def forward(self, inputs, data_samples=None, mode='tensor'):
        outputs = self.body(torch.stack(inputs))
        if mode != 'loss':
            return outputs
        losses = dict(
            loss_cls=outputs[:, 0].square(),
            loss_bbox=[outputs[:, 1].abs().mean(), outputs[:1, 1].square()],
            acc=outputs.detach().mean(),
        )
        self.step += 1
        return self.spoil(losses, self.step) if self.spoil else losses


class ToyDistiller(Distiller):
    """Matches the embeddings of a batch; class means on demand."""

    provides = ('student_embed', 'teacher_embed', 'labels', 'foreground')


class ToyPair(ToyModel):
    """What the hooks see of a DistillModel: ``distill``, fed in ``loss``."""

    def __init__(self, spoil=None, losses=None, distiller=ToyDistiller):
        super().__init__(spoil)
        losses = losses or dict(loss_norm=dict(type='kd_det.NormLoss'))
        self.distill = nn.ModuleDict(dict(roi=distiller(losses)))
        self.seen = []  # the knowledge of each step

    def forward(self, inputs, data_samples=None, mode='tensor'):
        output = super().forward(inputs, data_samples, mode)
        if mode == 'loss':
            embed = self.body(torch.stack(inputs))
            knowledge = dict(
                student_embed=embed,
                teacher_embed=embed.detach().flip(0) + 1,
                labels=torch.arange(len(embed)) % 3,
                foreground=torch.arange(len(embed)) % 3 < 2,
            )
            self.seen.append({k: v.detach() for k, v in knowledge.items()})
            losses = self.distill.roi(knowledge)
            output.update({f'roi.{k}': v for k, v in losses.items()})
        return output


class ToyMetric(BaseMetric):
    """The score is taken from a list, one entry a validation."""

    def __init__(self, scores=()):
        super().__init__()
        self.scores = list(scores)

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        return dict(acc=self.scores.pop(0) if self.scores else 0.0)


class Killed(Exception):
    """Stands for whatever ends a process."""


class Kill(Hook):
    """End the run before some iteration (they are counted from 0)."""

    def __init__(self, before):
        self.before = before

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.before:
            raise Killed


def build_runner(
    work_dir,
    *,
    hooks=(),
    checkpoint=None,
    train=None,
    loader=None,
    sampler=None,
    model=ToyModel,
    model_args=None,
    scores=None,
    resume=False,
    load_from=None,
    logger=None,
    ranks=1,
    seed=3,
):
    """Return a Runner; nothing of an earlier one is left in the process."""
    # as in a new process: the Runner's seed is all it knows
    random.seed(next(NUMBERS))
    np.random.seed(next(NUMBERS))
    torch.manual_seed(next(NUMBERS))
    val = {}
    if scores is not None:
        val = dict(
            val_dataloader=dict(
                batch_size=4,
                dataset=ToyData(6),
                sampler=dict(type='DefaultSampler', shuffle=False),
            ),
            val_cfg=dict(type='ValLoop'),
            val_evaluator=[ToyMetric(scores)],
        )
    wrapper = {}
    if ranks > 1:  # without device_ids, which MMEngine would set
        ddp = dict(type='MMDistributedDataParallel', device_ids=None)
        wrapper = dict(launcher='pytorch', cfg=dict(model_wrapper_cfg=ddp))
    return Runner(
        model=dict(type=model, **(model_args or {})),
        work_dir=str(work_dir),
        experiment_name=f'toy{next(NUMBERS)}',  # message hubs go by name
        train_dataloader=dict(
            batch_size=4 // ranks,
            dataset=ToyData(14 if ranks == 1 else 16),
            sampler=sampler or dict(type='DefaultSampler', shuffle=True),
            **(loader or {}),
        ),
        train_cfg=train or dict(by_epoch=True, max_epochs=4),
        optim_wrapper=dict(optimizer=dict(type='Adam', lr=0.01)),
        param_scheduler=dict(
            type='CosineAnnealingLR', T_max=16, by_epoch=False
        ),
        default_hooks=dict(
            logger=logger or dict(type='LoggerHook', interval=3),
            checkpoint=checkpoint
            or dict(type='CheckpointHook', interval=100, save_last=False),
        ),
        custom_hooks=list(hooks),
        resume=resume,
        load_from=load_from,
        randomness=dict(seed=seed, diff_rank_seed=ranks > 1),
        log_level='ERROR',
        visualizer=None,
        env_cfg=dict(dist_cfg=dict(backend='gloo')),
        **val,
        **wrapper,
    )
