"""The drawn shapes of `kd_det demo`, 128 pixels wide, in COCO layout."""

_base_ = './coco_folder.py'
data_root = 'data/shapes/'
classes = (
    'circle',
    'square',
    'triangle',
    'pentagon',
    'star',
    'cross',
    'ring',
)
image_scale = (128, 128)
train_pipeline = _base_.train_pipeline
test_pipeline = _base_.test_pipeline
train_pipeline[2].scale = test_pipeline[1].scale = image_scale
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
