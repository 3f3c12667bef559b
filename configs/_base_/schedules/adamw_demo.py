"""AdamW, 8 epochs at a high rate, for pretrained networks on the shapes."""

_base_ = './adamw_8e.py'
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, end=50),
    dict(  # it ends with the run
        type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True
    ),
]
