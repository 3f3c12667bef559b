"""`reviewkdpp.py` with a warm-up for 100 epochs: as long a part of them."""

_base_ = './reviewkdpp.py'
custom_hooks = _base_.custom_hooks
custom_hooks[-1].schedules.feats.loss_reviewkd.epochs = 8
