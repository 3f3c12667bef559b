"""CIFAR-10: as `cifar100.py`, with its own mean and deviation."""

_base_ = 'mmpretrain::_base_/datasets/cifar10_bs16.py'
data_root = 'data/cifar10/'
dataset_type = 'kd_det.CIFAR10'  # MMPretrain's own would download
data_preprocessor = dict(
    mean=[255 * 0.4914, 255 * 0.4822, 255 * 0.4465],
    std=[255 * 0.2470, 255 * 0.2435, 255 * 0.2616],
)
train_dataloader = dict(
    batch_size=64, dataset=dict(type=dataset_type, data_root=data_root)
)
val_dataloader = dict(
    batch_size=256, dataset=dict(type=dataset_type, data_root=data_root)
)
test_dataloader = val_dataloader
val_evaluator = dict(topk=(1, 5))
test_evaluator = val_evaluator
