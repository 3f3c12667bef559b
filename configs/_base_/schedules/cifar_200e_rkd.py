"""SGD for 200 epochs at 0.1, divided by 5 after 60, 120, 160; batch size 128.

The RKD authors' schedule for classifiers.
"""

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=200, val_interval=10)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=5e-4),
)
param_scheduler = dict(
    type='MultiStepLR', by_epoch=True, milestones=[60, 120, 160], gamma=0.2
)
auto_scale_lr = dict(base_batch_size=128)
