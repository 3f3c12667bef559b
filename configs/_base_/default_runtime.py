"""MMDetection's runtime, with checkpoints and resuming that can be trusted.

No half-written checkpoint is ever left, three are kept, a resumed run draws
the random numbers it would have drawn, and a loss that is not finite stops
the run.
"""

_base_ = 'mmdet::_base_/default_runtime.py'
default_hooks = dict(
    checkpoint=dict(
        type='kd_det.SafeCheckpointHook', interval=1, max_keep_ckpts=3
    )
)
custom_hooks = [
    dict(type='kd_det.RandomStateHook'),
    dict(type='kd_det.NonFiniteHook'),
]
