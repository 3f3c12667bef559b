"""KD of dense logits: slim GFL R-50 -> R-18 on blood cells, 8 epochs.

Data and schedule are those of the control, baseline_gfl_r18_slim_bccd.
Train the teacher, baseline_gfl_r50_slim_bccd.py, first.
"""

_base_ = [
    '../_base_/datasets/coco_folder.py',
    '../_base_/schedules/adamw_8e.py',
    '../_base_/distill_runtime.py',
]
data_root = 'data/bccd/'
classes = ('Platelets', 'RBC', 'WBC')
model = dict(
    _scope_='kd_det',
    type='DistillModel',
    teacher=dict(
        cfg='{{ fileDirname }}/baseline_gfl_r50_slim_bccd.py',
        ckpt='work_dirs/baseline_gfl_r50_slim_bccd/epoch_16.pth',
        # as in kd_frcnn_r50_r18_slim_bccd.py
        fuse_conv_bn=True,
        channels_last=True,
        dtype='bfloat16',
    ),
    student=dict(cfg='{{ fileDirname }}/baseline_gfl_r18_slim_bccd.py'),
    distillers=dict(
        dense=dict(
            type='DenseDistiller',
            losses=dict(loss_kd=dict(type='DenseKDLoss')),
        )
    ),
)
