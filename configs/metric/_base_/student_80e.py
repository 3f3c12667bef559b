"""Distillation as the authors' scripts have it: Adam, 80 epochs.

Their first epochs at a lower rate are number 40 and 60, from 1 on.
"""

_base_ = './teacher_40e.py'
train_cfg = dict(max_epochs=80)
optim_wrapper = dict(optimizer=dict(lr=1e-4))
param_scheduler = dict(milestones=[39, 59], gamma=0.1)
custom_hooks = [
    # all images: neighbours are looked for among all
    dict(
        type='kd_det.TeacherCheckHook',
        num_images=10**6,
        metric='recall@1',
        floor=20,  # percent
    ),
    dict(type='kd_det.FeatureNormHook'),
    *_base_.custom_hooks,
]
