"""CIFAR-100: pad by 4, crop 32, flip; batch size 64, as mdistiller and SDD.

Mean and standard deviation are theirs, for pixels in [0, 1], times 255.

Validation uses the test split, like all published results; no checkpoint is
selected by it.
"""

_base_ = 'mmpretrain::_base_/datasets/cifar100_bs16.py'
data_root = 'data/cifar100/'
dataset_type = 'kd_det.CIFAR100'  # MMPretrain's own would download
data_preprocessor = dict(
    mean=[255 * 0.5071, 255 * 0.4867, 255 * 0.4408],
    std=[255 * 0.2675, 255 * 0.2565, 255 * 0.2761],
)
train_dataloader = dict(
    batch_size=64,
    collate_fn=dict(type='default_collate'),  # one array, uint8
    dataset=dict(type=dataset_type, data_root=data_root),
)
val_dataloader = dict(
    batch_size=256,
    collate_fn=dict(type='default_collate'),
    dataset=dict(type=dataset_type, data_root=data_root),
)
test_dataloader = val_dataloader
val_evaluator = dict(topk=(1, 5))
test_evaluator = val_evaluator
