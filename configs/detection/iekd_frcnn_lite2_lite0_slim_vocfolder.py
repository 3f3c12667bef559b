"""IE-KD on the FPN: slim Faster R-CNN Lite2 -> Lite0, a VOC-layout folder.

Set `data_root` and `classes`. Factors have half the FPN's channels; the
auto-encoder is trained for 8 epochs.
"""

_base_ = [
    '../_base_/methods/iekd.py',
    '../_base_/datasets/voc_folder.py',
    '../_base_/schedules/adamw_8e.py',
    '../_base_/factor_runtime.py',
]
model = dict(
    _scope_='kd_det',
    type='DistillModel',
    teacher=dict(
        cfg='{{ fileDirname }}/baseline_frcnn_lite2_slim_vocfolder.py',
        ckpt='work_dirs/baseline_frcnn_lite2_slim_vocfolder/epoch_8.pth',
    ),
    student=dict(
        cfg='{{ fileDirname }}/baseline_frcnn_lite0_slim_vocfolder.py'
    ),
    distillers=_base_.pop('method').distillers,
)
factor = model['distillers']['factor']
factor.channels = 32
factor.auto_encoder = 'data/auto_encoders/frcnn_lite2_slim_vocfolder.pth'
_base_.pop('method_hooks')  # factor_runtime.py has them
custom_hooks = _base_.custom_hooks
custom_hooks[1].epochs = 8
custom_hooks.append(dict(type='kd_det.ChannelsLastHook'))
del factor
