"""`distill_runtime.py` for networks that are trained on a CPU."""

_base_ = './distill_runtime.py'
custom_hooks = [*_base_.custom_hooks, dict(type='kd_det.ChannelsLastHook')]
