"""miniImageNet: 5 ways and 1 shot in the test, 30 ways in training."""

_base_ = './miniimagenet.py'
train_dataloader = dict(
    batch_size=30 * (1 + 15),
    batch_sampler=dict(
        type='kd_det.EpisodeBatchSampler', ways=30, shots=1, queries=15
    ),
)
val_evaluator = dict(shots=1)
test_evaluator = dict(shots=1)
