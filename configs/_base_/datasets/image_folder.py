"""Any folder in ImageNet layout; set only `data_root` and `classes`.

A child config (or `--cfg-options`) sets the two names at the top level; the
tools pass them on to every data set and head. The folder contains `train/` and
`validation/`, each with one folder of images per class. The classes are the
names of these folders, in alphabetical order.
"""

data_root = 'data/image_folder/'
classes = None
image_size = 112  # pixels; the short side is first resized to 8/7 of it
dataset_type = 'CustomDataset'
data_preprocessor = dict(
    num_classes=None,
    mean=[123.675, 116.28, 103.53],  # ImageNet's, of RGB
    std=[58.395, 57.12, 57.375],
    to_rgb=True,
)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomResizedCrop', scale=image_size),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=image_size * 8 // 7, edge='short'),
    dict(type='CenterCrop', crop_size=image_size),
    dict(type='PackInputs'),
]
train_dataloader = dict(
    batch_size=32,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix='train',
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix='validation',
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='Accuracy', topk=(1,))  # there may be two classes
test_evaluator = val_evaluator
