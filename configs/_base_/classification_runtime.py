"""MMPretrain's runtime with safe checkpoints and exact resume.

Like `default_runtime.py` for detectors. The result is the last checkpoint,
without selection by score, since the validation data of these data sets are
the test data.
"""

_base_ = 'mmpretrain::_base_/default_runtime.py'
default_hooks = dict(
    checkpoint=dict(
        type='kd_det.SafeCheckpointHook', interval=1, max_keep_ckpts=3
    )
)
custom_hooks = [
    dict(type='kd_det.RandomStateHook'),
    dict(type='kd_det.NonFiniteHook'),
]
