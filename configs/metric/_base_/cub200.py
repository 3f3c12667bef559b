"""CUB-200-2011, first half of the classes to train, the other to test."""

_base_ = './photos.py'
data_root = 'data/CUB_200_2011/'
dataset = dict(type='kd_det.CUBRetrieval', data_root=data_root)
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = val_dataloader
