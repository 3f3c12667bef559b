"""Blood cells in the layout of `coco_folder.py`."""

_base_ = './coco_folder.py'
data_root = 'data/bccd/'
classes = ('Platelets', 'RBC', 'WBC')
