"""The teacher: slim Faster R-CNN Lite2, 8 epochs, on a VOC-layout folder.

Set `data_root` and `classes`.
"""

_base_ = [
    '../_base_/models/frcnn_lite2_slim.py',
    '../_base_/datasets/voc_folder.py',
    '../_base_/schedules/adamw_8e.py',
    '../_base_/cpu_runtime.py',
]
