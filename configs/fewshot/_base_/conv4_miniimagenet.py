"""Conv4 for miniImageNet: the cells of its last map are the embedding."""

model = dict(
    _scope_='mmpretrain',
    type='kd_det.EmbeddingModel',
    backbone=dict(type='kd_det.Conv4', in_channels=3, width=64),
    pool=False,
    loss=dict(type='kd_det.PrototypeLoss'),
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        to_rgb=True,
    ),
)
