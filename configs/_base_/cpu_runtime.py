"""`default_runtime.py` for networks that are trained on a CPU."""

_base_ = './default_runtime.py'
custom_hooks = [*_base_.custom_hooks, dict(type='kd_det.ChannelsLastHook')]
