"""The direction alone of ND, with KD: slim Faster R-CNN Lite2 -> Lite0."""

_base_ = './kd_frcnn_lite2_lite0_slim_folder.py'
model = dict(
    distillers=dict(
        roi=dict(
            centroids='data/centroids/frcnn_lite2_slim_folder.npz',
            losses=dict(loss_fdr=dict(type='FDRCosineLoss', loss_weight=1.5)),
        )
    )
)
