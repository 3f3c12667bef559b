"""KD++ as on CIFAR, at T = 1; the weight of KD rises over 5 epochs."""

_base_ = '../../cifar/_base_/kdpp.py'
method = dict(distillers=dict(logit=dict(losses=dict(loss_kd=dict(tau=1.0)))))
custom_hooks = _base_.custom_hooks
custom_hooks[-1].schedules.logit.loss_kd.epochs = 5
