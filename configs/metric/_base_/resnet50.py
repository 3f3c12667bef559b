"""ResNet-50 and a linear layer; a child gives its width."""

model = dict(
    _scope_='mmpretrain',
    type='kd_det.EmbeddingModel',
    backbone=dict(
        type='ResNet',
        depth=50,
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50'),
    ),
    in_channels=2048,
    normalize=False,
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        to_rgb=True,
    ),
)
