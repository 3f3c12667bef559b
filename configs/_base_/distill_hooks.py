"""Hooks of a pair in addition to those of its student.

The teacher is checked, the class means are computed or checked, embedding
norms are logged, the gradients of the losses are compared with those of the
task loss, and layers are stitched if the student asks for it. A hook that is
not needed does nothing.
"""

distill_hooks = [
    dict(type='kd_det.TeacherCheckHook'),
    dict(type='kd_det.CentroidHook'),
    dict(type='kd_det.FeatureNormHook'),
    dict(type='kd_det.GradientShareHook'),
    dict(type='kd_det.StitchHook'),
]
