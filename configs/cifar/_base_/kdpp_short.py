"""`kdpp.py` with a warm-up for 100 epochs: as long a part of them."""

_base_ = './kdpp.py'
custom_hooks = _base_.custom_hooks
custom_hooks[-1].schedules.logit.loss_kd.epochs = 8
