"""CIFAR-10 in minutes instead of hours: one short recipe for all methods.

The cross-entropy of the test images is logged beside the accuracy.
"""

_base_ = [
    '../../_base_/datasets/cifar10.py',
    '../../_base_/schedules/cifar_short.py',
]
val_evaluator = [
    dict(type='Accuracy', topk=(1, 5)),
    dict(type='kd_det.CrossEntropy'),
]
test_evaluator = val_evaluator
