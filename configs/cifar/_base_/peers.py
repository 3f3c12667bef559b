"""What networks that teach each other need beside an optimiser each.

All are evaluated, and each is kept as a plain model.
"""

_base_ = '../../_base_/classification_runtime.py'
custom_hooks = [dict(type='kd_det.PeerHook'), *_base_.custom_hooks]
