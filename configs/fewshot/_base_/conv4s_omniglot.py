"""slim Conv4 for Omniglot: the cells of its last map are the embedding."""

model = dict(
    _scope_='mmpretrain',
    type='kd_det.EmbeddingModel',
    backbone=dict(type='kd_det.Conv4', in_channels=1, width=16),
    pool=False,
    loss=dict(type='kd_det.PrototypeLoss'),
    data_preprocessor=dict(mean=[0.0], std=[255.0]),  # ink is 1, paper 0
)
