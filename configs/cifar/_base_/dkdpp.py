"""DKD++: ND beside DKD, warmed up as in `kdpp.py`. A child gives weights."""

_base_ = './dkd.py'
method = dict(
    distillers=dict(logit=dict(losses=dict(loss_nd=dict(type='NDLoss'))))
)
custom_hooks = _base_.custom_hooks
custom_hooks[-1].schedules.logit.loss_dkd.origin = 0
