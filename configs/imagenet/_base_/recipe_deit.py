"""ImageNet for DeiT-B by the ND script: AdamW, 300 epochs, batches of 2048.

Their picture of the recipe says 200 epochs, their command 300. 256 images on
each of eight GPUs; with another number the learning rate is scaled.
"""

_base_ = 'mmpretrain::_base_/datasets/imagenet_bs64_swin_224.py'
data_root = 'data/imagenet/'
train_dataloader = dict(
    batch_size=256, num_workers=8, dataset=dict(data_root=data_root)
)
val_dataloader = dict(
    batch_size=256, num_workers=8, dataset=dict(data_root=data_root)
)
test_dataloader = val_dataloader
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=300, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(
        type='AdamW', lr=1e-4 * 2048 / 256, betas=(0.9, 0.95), weight_decay=0.3
    ),
    paramwise_cfg=dict(
        norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0
    ),
)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=1e-3,
        by_epoch=True,
        end=20,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        begin=20,
        eta_min=1e-6,
        convert_to_iter_based=True,
    ),
]
auto_scale_lr = dict(base_batch_size=2048, enable=True)
