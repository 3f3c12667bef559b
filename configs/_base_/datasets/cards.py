"""Playing cards in the layout of `coco_folder.py`."""

_base_ = './coco_folder.py'
data_root = 'data/cards/'
classes = ('ace', 'jack', 'king', 'nine', 'queen', 'ten')
