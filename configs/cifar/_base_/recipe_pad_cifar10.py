"""CIFAR-10 as the public ResNets with zero-padded shortcuts were trained.

200 epochs of SGD at 0.1, batches of 128; the images are normalised with the
constants of ImageNet. See github.com/akamaster/pytorch_resnet_cifar10.
"""

_base_ = [
    '../../_base_/datasets/cifar10.py',
    'mmpretrain::_base_/schedules/cifar10_bs128.py',
]
data_preprocessor = dict(
    mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]
)
train_dataloader = dict(batch_size=128)
