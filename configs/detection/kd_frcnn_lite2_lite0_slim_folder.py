"""KD of RoI logits: slim Faster R-CNN Lite2 -> Lite0, 8 epochs.

Data and schedule are those of the baseline,
baseline_frcnn_lite0_slim_folder.py. Train the teacher,
baseline_frcnn_lite2_slim_folder.py, first.
"""

_base_ = [
    '../_base_/methods/kd_roi.py',
    '../_base_/datasets/coco_folder.py',
    '../_base_/schedules/adamw_8e.py',
    '../_base_/distill_cpu_runtime.py',
]
model = dict(
    _scope_='kd_det',
    type='DistillModel',
    teacher=dict(
        cfg='{{ fileDirname }}/baseline_frcnn_lite2_slim_folder.py',
        ckpt='work_dirs/baseline_frcnn_lite2_slim_folder/epoch_16.pth',
        channels_last=True,
        dtype='bfloat16',
    ),
    student=dict(cfg='{{ fileDirname }}/baseline_frcnn_lite0_slim_folder.py'),
    distillers=_base_.pop('method').distillers,
)
