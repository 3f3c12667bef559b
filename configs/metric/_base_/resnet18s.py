"""A slim ResNet-18 for small grey images; a child gives its width."""

model = dict(
    _scope_='mmpretrain',
    type='kd_det.EmbeddingModel',
    backbone=dict(
        type='ResNet_CIFAR',
        depth=18,
        in_channels=1,
        stem_channels=16,
        base_channels=16,
    ),
    in_channels=128,
    normalize=False,
    data_preprocessor=dict(mean=[0.0], std=[255.0]),  # ink is 1, paper 0
)
