"""KD of RoI logits: slim Faster R-CNN R-50 -> R-18 on blood cells, 8 epochs.

Data and schedule are those of the baseline, baseline_frcnn_r18_slim_bccd.py.
Train the teacher, baseline_frcnn_r50_slim_bccd.py, first.
"""

_base_ = [
    '../_base_/methods/kd_roi.py',
    '../_base_/datasets/bccd.py',
    '../_base_/schedules/adamw_8e.py',
    '../_base_/distill_runtime.py',
]
model = dict(
    _scope_='kd_det',
    type='DistillModel',
    teacher=dict(
        cfg='{{ fileDirname }}/baseline_frcnn_r50_slim_bccd.py',
        ckpt='work_dirs/baseline_frcnn_r50_slim_bccd/epoch_16.pth',
        # a third of the time on a CPU, feature maps within 1 %
        fuse_conv_bn=True,
        channels_last=True,
        dtype='bfloat16',
    ),
    student=dict(cfg='{{ fileDirname }}/baseline_frcnn_r18_slim_bccd.py'),
    distillers=_base_.pop('method').distillers,
)
