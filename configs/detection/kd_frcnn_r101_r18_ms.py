"""KD on RoIs: Faster R-CNN R-101 -> R-18, COCO 1x, short side 640 to 800.

The images of the ND authors' code.
"""

_base_ = '../kd_frcnn_r101_r18.py'
train_pipeline = _base_.train_pipeline
train_pipeline[2] = dict(
    type='RandomChoiceResize',
    scales=[(1333, side) for side in range(640, 801, 32)],
    keep_ratio=True,
)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
