"""IE-KD on the last stage: SSD300 R-50 -> R-18 on VOC 07+12.

Modelled on the paper's VOC experiment, whose detector and weights were not
available to us; the pair is that of the OFD paper.
"""

_base_ = [
    '../_base_/models/ssd300_r50_r18.py',
    '../_base_/datasets/voc_ssd300.py',
    '../_base_/schedules/voc_ssd.py',
    '../_base_/factor_runtime.py',
]
model = dict(
    distillers=dict(
        factor=dict(
            type='FactorDistiller',
            auto_encoder='data/auto_encoders/ssd300_r50_voc.pth',
            channels=256,
            taps=dict(
                student=['backbone.layer4'], teacher=['backbone.layer4']
            ),
            losses=dict(
                loss_inh=dict(
                    type='InheritanceLoss', p='cos', loss_weight=1.0
                ),
                loss_exp=dict(
                    type='ExplorationLoss', p='cos', loss_weight=1.0
                ),
            ),
        )
    )
)
