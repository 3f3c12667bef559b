"""SGD, 100 epochs at 0.2, divided by 10 after 30, 60 and 90; batch size 512.

The schedule of mdistiller and SDD. The learning rate is scaled to the actual
batch size, which depends on the number of GPUs.
"""

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=100, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.2, momentum=0.9, weight_decay=1e-4),
)
param_scheduler = dict(
    type='MultiStepLR', by_epoch=True, milestones=[30, 60, 90], gamma=0.1
)
auto_scale_lr = dict(base_batch_size=512, enable=True)
