"""Triplet training as the authors' scripts have it: Adam, 40 epochs.

Their first epochs at a lower rate are number 25, 30 and 35, from 1 on.
"""

_base_ = '../../_base_/classification_runtime.py'
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=40, val_interval=10)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='Adam', lr=1e-5, weight_decay=1e-5),
)
param_scheduler = dict(
    type='MultiStepLR', milestones=[24, 29, 34], gamma=0.5, by_epoch=True
)
auto_scale_lr = dict(base_batch_size=128)
