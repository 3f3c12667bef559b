"""What a pair needs beside the hooks of its student: the teacher is checked,
the class means are made or checked, the norms of the embeddings are logged,
the gradients of the losses are compared with the task's, and layers are
stitched where the student asks for it. A hook that is not needed does
nothing."""

distill_hooks = [
    dict(type='kd_det.TeacherCheckHook'),
    dict(type='kd_det.CentroidHook'),
    dict(type='kd_det.FeatureNormHook'),
    dict(type='kd_det.GradientShareHook'),
    dict(type='kd_det.StitchHook'),
]
