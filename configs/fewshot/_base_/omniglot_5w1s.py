"""Omniglot: 5 ways and 1 shot in the test, 20 ways in training."""

_base_ = './omniglot.py'
train_dataloader = dict(
    batch_size=20 * (1 + 5),
    batch_sampler=dict(
        type='kd_det.EpisodeBatchSampler', ways=20, shots=1, queries=5
    ),
)
val_evaluator = dict(shots=1)
test_evaluator = dict(shots=1)
