"""The demo's student alone: R-18, for 4 epochs where the teacher has 9."""

_base_ = './baseline_frcnn_r34_demo_shapes.py'
model = dict(backbone=dict(depth=18))
max_epochs = 4
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, end=100),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        T_max=max_epochs,
        convert_to_iter_based=True,
    ),
]
