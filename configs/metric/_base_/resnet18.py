"""ResNet-18 and a linear layer; a child gives its width."""

model = dict(
    _scope_='mmpretrain',
    type='kd_det.EmbeddingModel',
    backbone=dict(
        type='ResNet',
        depth=18,
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet18'),
    ),
    in_channels=512,
    normalize=False,
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        to_rgb=True,
    ),
)
