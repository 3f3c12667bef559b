"""`sop.py` for one network: an epoch is 1,000 batches."""

_base_ = './sop.py'
train_dataloader = dict(batch_sampler=dict(num_batches=1000))
