"""Omniglot characters: train on one small archive, test on the other.

Greek and Latin are in both archives and left out of the test.
"""

data_root = 'data/omniglot/'
train_dataloader = dict(
    batch_size=128,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=True),
    batch_sampler=dict(
        type='kd_det.ClassBatchSampler', per_class=5, num_batches=100
    ),
    dataset=dict(
        type='kd_det.Omniglot',
        data_root=data_root,
        folder='images_background_small1',
        pipeline=[
            dict(type='RandomCrop', crop_size=28, padding=2),
            dict(type='PackInputs'),
        ],
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
        test_mode=True,
        pipeline=[dict(type='PackInputs')],
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='kd_det.RecallAtK', ks=(1, 2, 4, 8))
test_evaluator = val_evaluator
