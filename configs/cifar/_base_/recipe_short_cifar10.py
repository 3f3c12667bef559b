"""CIFAR-10 in minutes of a CPU: so few images that a network fits them.

The first 480 training images and all test images. 1,500 steps take a
ResNet-8 alone to about 95 % on its training batches, which are logged, so
that a method is not rewarded for speed alone. The cross-entropy of the test
images is logged beside the accuracy.
"""

_base_ = [
    '../../_base_/datasets/cifar10.py',
    '../../_base_/schedules/cifar_short.py',
]
train_dataloader = dict(
    batch_size=32,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(indices=480),
)
val_dataloader = dict(num_workers=0, persistent_workers=False)
test_dataloader = val_dataloader
val_evaluator = [
    dict(type='Accuracy', topk=(1, 5)),
    dict(type='kd_det.CrossEntropy'),
]
test_evaluator = val_evaluator
