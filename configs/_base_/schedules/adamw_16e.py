"""`adamw_8e.py` for 16 epochs, used for teachers."""

_base_ = './adamw_8e.py'
max_epochs = 16
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
param_scheduler = _base_.param_scheduler
param_scheduler[1].T_max = max_epochs
