"""CIFAR-100 by the recipe of the authors of RKD, batches of 128."""

_base_ = [
    '../../_base_/datasets/cifar100.py',
    '../../_base_/schedules/cifar_200e_rkd.py',
]
train_dataloader = dict(batch_size=128)
