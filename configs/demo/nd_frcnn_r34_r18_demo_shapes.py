"""The demo's student with ND and KD: all else is the student's alone.

Weights of the authors' R18-R101.
"""

_base_ = './baseline_frcnn_r18_demo_shapes.py'
model = dict(
    _delete_=True,
    _scope_='kd_det',
    type='DistillModel',
    teacher=dict(
        cfg='{{ fileDirname }}/baseline_frcnn_r34_demo_shapes.py',
        ckpt='work_dirs/baseline_frcnn_r34_demo_shapes/epoch_9.pth',
    ),
    student=dict(cfg='{{ fileDirname }}/baseline_frcnn_r18_demo_shapes.py'),
    distillers=dict(
        roi=dict(
            type='RoIDistiller',
            centroids='data/centroids/frcnn_r34_demo_shapes.npz',
            losses=dict(
                loss_nd=dict(type='NDLoss', loss_weight=1.5),
                loss_kd=dict(type='KDLoss', tau=1.0, loss_weight=1.0),
            ),
        )
    ),
)
custom_hooks = [
    dict(type='kd_det.TeacherCheckHook'),
    dict(type='kd_det.CentroidHook'),
    dict(type='kd_det.FeatureNormHook'),
    *_base_.custom_hooks,
]
