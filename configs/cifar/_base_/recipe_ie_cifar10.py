"""CIFAR-10 by the recipe of IE-KD: 160 epochs of batches of 128."""

_base_ = [
    '../../_base_/datasets/cifar10.py',
    '../../_base_/schedules/cifar_160e.py',
]
train_dataloader = dict(batch_size=128)
