"""Conv4 of 16 channels for small grey images; a child gives its width."""

model = dict(
    _scope_='mmpretrain',
    type='kd_det.EmbeddingModel',
    backbone=dict(type='kd_det.Conv4', in_channels=1, width=16),
    in_channels=16,
    normalize=False,
    data_preprocessor=dict(mean=[0.0], std=[255.0]),  # ink is 1, paper 0
)
