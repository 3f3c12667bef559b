"""ImageNet-1k: random resized crop 224 and flip; center crop 224 of 256.

Batch size 256: two GPUs give the 512 of the ND and SDD schedules. With another
number of GPUs the schedules scale the learning rate.
"""

_base_ = 'mmpretrain::_base_/datasets/imagenet_bs64.py'
data_root = 'data/imagenet/'
train_dataloader = dict(
    batch_size=256, num_workers=8, dataset=dict(data_root=data_root)
)
val_dataloader = dict(
    batch_size=256, num_workers=8, dataset=dict(data_root=data_root)
)
test_dataloader = val_dataloader
