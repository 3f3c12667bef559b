"""GoogLeNet and a linear layer; a child gives its width.

The images are as torchvision's weights want them, where the authors used
weights of Caffe.
"""

model = dict(
    _scope_='mmpretrain',
    type='kd_det.EmbeddingModel',
    backbone=dict(
        type='kd_det.GoogLeNet',
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://googlenet'),
    ),
    in_channels=1024,
    normalize=False,
    data_preprocessor=dict(
        mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5], to_rgb=True
    ),
)
