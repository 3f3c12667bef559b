"""SGD for 240 epochs at 0.05, a tenth after 150, 180 and 210: batches of 64.

What mdistiller and SDD train with; they use 0.01 for ShuffleNets and
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
