"""SGD with a half-cosine schedule, 100 epochs, batch size 32, for a CPU.

To change the length, set only `train_cfg.max_epochs=N`: the cosine ends with
the run.
"""

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=100, val_interval=100)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=5e-4),
)
param_scheduler = dict(
    type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True
)
auto_scale_lr = dict(base_batch_size=32)
