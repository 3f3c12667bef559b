"""CIFAR-10: like `cifar100.py`, with its own mean and standard deviation."""

_base_ = './cifar100.py'
data_root = 'data/cifar10/'
dataset_type = 'kd_det.CIFAR10'
data_preprocessor = dict(
    num_classes=10,
    mean=[255 * 0.4914, 255 * 0.4822, 255 * 0.4465],
    std=[255 * 0.2470, 255 * 0.2435, 255 * 0.2616],
)
train_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root))
val_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root))
test_dataloader = val_dataloader
