"""miniImageNet: 5 ways and 5 shots in the test, 20 ways in training."""

_base_ = './miniimagenet.py'
train_dataloader = dict(
    batch_size=20 * (5 + 15),
    batch_sampler=dict(
        type='kd_det.EpisodeBatchSampler', ways=20, shots=5, queries=15
    ),
)
val_evaluator = dict(shots=5)
test_evaluator = dict(shots=5)
