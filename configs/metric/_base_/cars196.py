"""Cars-196, first half of the classes to train, the other to test."""

_base_ = './photos.py'
data_root = 'data/cars196/'
dataset = dict(type='kd_det.CarsRetrieval', data_root=data_root)
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = val_dataloader
