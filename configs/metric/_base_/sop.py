"""Stanford Online Products by its own lists of classes."""

_base_ = './photos.py'
data_root = 'data/Stanford_Online_Products/'
dataset = dict(type='kd_det.SOPRetrieval', data_root=data_root)
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = val_dataloader
val_evaluator = dict(ks=(1, 10, 100, 1000))
test_evaluator = val_evaluator
