"""miniImageNet episodes of 84-pixel images, split as by Vinyals et al."""

data_root = 'data/miniimagenet/'
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(84, 84)),
    dict(type='PackInputs'),
]
train_dataloader = dict(
    num_workers=4,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='kd_det.MiniImageNet',
        data_root=data_root,
        split='train',
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=256,
    num_workers=4,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='kd_det.MiniImageNet',
        data_root=data_root,
        split='val',
        test_mode=True,
        pipeline=train_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=256,
    num_workers=4,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='kd_det.MiniImageNet',
        data_root=data_root,
        split='test',
        test_mode=True,
        pipeline=train_pipeline,
    ),
)
val_evaluator = dict(
    type='kd_det.EpisodeAccuracy', ways=5, queries=15, episodes=600
)
test_evaluator = val_evaluator
