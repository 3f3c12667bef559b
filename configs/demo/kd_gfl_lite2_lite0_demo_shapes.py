"""The demo's GFL student with KD of dense logits."""

_base_ = [
    './baseline_gfl_lite0_demo_shapes.py',
    '../_base_/methods/kd_dense.py',
]
model = dict(
    _delete_=True,
    _scope_='kd_det',
    type='DistillModel',
    teacher=dict(
        cfg='{{ fileDirname }}/baseline_gfl_lite2_demo_shapes.py',
        ckpt='work_dirs/baseline_gfl_lite2_demo_shapes/epoch_12.pth',
    ),
    student=dict(cfg='{{ fileDirname }}/baseline_gfl_lite0_demo_shapes.py'),
    distillers=_base_.pop('method').distillers,
)
custom_hooks = [
    dict(type='kd_det.TeacherCheckHook'),
    dict(type='kd_det.CentroidHook'),
    dict(type='kd_det.FeatureNormHook'),
    dict(type='kd_det.StitchHook'),
    *_base_.custom_hooks,
]
