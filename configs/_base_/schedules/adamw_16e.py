"""`adamw_8e.py` for 16 epochs: for teachers."""

_base_ = './adamw_8e.py'
max_epochs = 16
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
