"""IE-KD on the FPN: slim Faster R-CNN R-50 -> R-18 on blood cells.

Factors have half the FPN's channels. The weights are ours. 8 epochs, with the
baseline's data and schedule; the auto-encoder is also trained for 8 epochs,
since the data set is small.
"""

_base_ = [
    '../_base_/methods/iekd.py',
    '../_base_/datasets/bccd.py',
    '../_base_/schedules/adamw_8e.py',
    '../_base_/factor_runtime.py',
]
model = dict(
    _scope_='kd_det',
    type='DistillModel',
    teacher=dict(
        cfg='{{ fileDirname }}/baseline_frcnn_r50_slim_bccd.py',
        ckpt='work_dirs/baseline_frcnn_r50_slim_bccd/epoch_16.pth',
        fuse_conv_bn=True,
        channels_last=True,
        dtype='bfloat16',
    ),
    student=dict(cfg='{{ fileDirname }}/baseline_frcnn_r18_slim_bccd.py'),
    distillers=_base_.pop('method').distillers,
)
factor = model['distillers']['factor']
factor.channels = 32
factor.auto_encoder = 'data/auto_encoders/frcnn_r50_slim_bccd.pth'
_base_.pop('method_hooks')  # factor_runtime.py has them
custom_hooks = _base_.custom_hooks
custom_hooks[1].epochs = 8
del factor
