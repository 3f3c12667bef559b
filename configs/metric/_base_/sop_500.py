"""`sop.py` for a pair: an epoch is 500 batches."""

_base_ = './sop.py'
train_dataloader = dict(batch_sampler=dict(num_batches=500))
