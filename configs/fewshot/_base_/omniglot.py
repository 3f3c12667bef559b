"""Omniglot episodes: train on one small archive, test on the other.

Greek and Latin are in both archives and left out of the test. A character
that is turned is another class, in training and in the test.
"""

data_root = 'data/omniglot/'
pipeline = [dict(type='PackInputs')]
train_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='kd_det.Omniglot',
        data_root=data_root,
        folder='images_background_small1',
        rotations=True,
        pipeline=pipeline,
    ),
)
val_dataloader = dict(
    batch_size=256,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='kd_det.Omniglot',
        data_root=data_root,
        folder='images_background_small2',
        without=('Greek', 'Latin'),
        rotations=True,
        test_mode=True,
        pipeline=pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(
    type='kd_det.EpisodeAccuracy', ways=5, queries=15, episodes=1000
)
test_evaluator = val_evaluator
