"""A folder in COCO layout with YOLOX's images: 416 x 416, padded with 114."""

_base_ = './coco_folder.py'
image_scale = (416, 416)
square = dict(
    type='Pad', pad_to_square=True, pad_val=dict(img=(114.0, 114.0, 114.0))
)
train_pipeline = _base_.train_pipeline
test_pipeline = _base_.test_pipeline
train_pipeline[2].scale = test_pipeline[1].scale = image_scale
train_pipeline.insert(3, square)
test_pipeline.insert(2, square)
train_dataloader = dict(batch_size=8, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
del square
