"""SGD, 240 epochs at 0.05, divided by 10 after 150, 180, 210; batch size 64.

The schedule of mdistiller and SDD, which use 0.01 for ShuffleNets and
MobileNetV2.
"""

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=240, val_interval=10)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=5e-4),
)
param_scheduler = dict(
    type='MultiStepLR', by_epoch=True, milestones=[150, 180, 210], gamma=0.1
)
auto_scale_lr = dict(base_batch_size=64)
