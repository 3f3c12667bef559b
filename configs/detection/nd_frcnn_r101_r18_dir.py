"""The direction alone of ND, with KD: Faster R-CNN R-101 -> R-18, COCO 1x."""

_base_ = '../kd_frcnn_r101_r18.py'
model = dict(
    distillers=dict(
        roi=dict(
            centroids='data/centroids/frcnn_r101_coco.npz',
            losses=dict(loss_fdr=dict(type='FDRCosineLoss', loss_weight=1.5)),
        )
    )
)
