"""IE-KD on the FPN: slim Faster R-CNN Lite2 -> Lite0, 8 epochs.

Factors have half the FPN's channels; the auto-encoder is also trained for 8
epochs.
"""

_base_ = './iekd_frcnn_r50_r18_slim_bccd.py'
data_root = 'data/folder/'
classes = None
model = dict(
    teacher=dict(
        cfg='{{ fileDirname }}/baseline_frcnn_lite2_slim_folder.py',
        ckpt='work_dirs/baseline_frcnn_lite2_slim_folder/epoch_16.pth',
        fuse_conv_bn=False,
    ),
    student=dict(cfg='{{ fileDirname }}/baseline_frcnn_lite0_slim_folder.py'),
    distillers=dict(
        factor=dict(
            auto_encoder='data/auto_encoders/frcnn_lite2_slim_folder.pth'
        )
    ),
)
custom_hooks = [*_base_.custom_hooks, dict(type='kd_det.ChannelsLastHook')]
