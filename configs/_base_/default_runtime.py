"""MMDetection's runtime with safe checkpoints and exact resume.

Checkpoints are never left half-written, the last three are kept, a resumed run
draws the same random numbers as an uninterrupted one, and a non-finite loss
stops the run.
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
