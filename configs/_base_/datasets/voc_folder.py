"""Any folder in VOC layout; set only `data_root` and `classes`.

The folder contains VOC2007/JPEGImages, Annotations and ImageSets/Main with
trainval.txt and test.txt; `tools/convert_to_voc.py` makes one from a folder in
COCO layout.
"""

_base_ = './coco_folder.py'
data_root = 'data/voc_folder/'
train_dataloader, val_dataloader, test_dataloader = (
    dict(
        dataset=dict(
            type='VOCDataset',
            data_root=data_root,
            ann_file=f'VOC2007/ImageSets/Main/{split}.txt',
            data_prefix=dict(_delete_=True, sub_data_root='VOC2007/'),
        )
    )
    for split in ('trainval', 'test', 'test')
)
val_evaluator, test_evaluator = (
    dict(_delete_=True, type='VOCMetric', metric='mAP', eval_mode='11points')
    for _ in range(2)
)
