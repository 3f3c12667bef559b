"""Adam, halved every 20 of 200 epochs of 100 episodes, as Snell et al."""

_base_ = '../../_base_/classification_runtime.py'
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=200, val_interval=10)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-3))
param_scheduler = dict(type='StepLR', step_size=20, gamma=0.5, by_epoch=True)
