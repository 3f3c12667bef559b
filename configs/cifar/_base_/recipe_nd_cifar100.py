"""CIFAR-100 by the recipe of the ND scripts, batches of 128."""

_base_ = [
    '../../_base_/datasets/cifar100.py',
    '../../_base_/schedules/cifar_240e_nd.py',
]
train_dataloader = dict(batch_size=128)
