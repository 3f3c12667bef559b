"""MMPretrain's runtime, with checkpoints and resuming that can be trusted.

As `default_runtime.py` does for detectors. The last checkpoint is the
result: none is chosen by its score, since the validation data of these sets
are the test data.
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
