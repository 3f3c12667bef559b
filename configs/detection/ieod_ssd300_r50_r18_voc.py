"""IE-OD before the last ReLUs: SSD300 R-50 -> R-18 on VOC 07+12.

Modelled on the paper's VOC experiment; the pair is that of the OFD paper. The
bound of the exploration loss and the weights are ours.
"""

_base_ = './iekd_ssd300_r50_r18_voc.py'
model = dict(
    distillers=dict(
        factor=dict(
            _delete_=True,
            type='FactorDistiller',
            taps=dict(
                student=[
                    'backbone.layer2.1.relu:input[-1]',
                    'backbone.layer3.1.relu:input[-1]',
                    'backbone.layer4.1.relu:input[-1]',
                ],
                teacher=[
                    'backbone.layer2.3.relu:input[-1]',
                    'backbone.layer3.5.relu:input[-1]',
                    'backbone.layer4.2.relu:input[-1]',
                ],
            ),
            connectors=dict(
                student_inherit_feats=dict(type='ConvAdaptor', relu=False),
                student_explore_feats=dict(type='ConvAdaptor', relu=False),
            ),
            losses=dict(
                loss_inh=dict(
                    type='InheritMapLoss',
                    base=dict(type='OFDLoss', loss_weight=1e-5),
                ),
                loss_exp=dict(
                    type='ExploreMapLoss',
                    base=dict(type='OFDLoss', loss_weight=1e-5),
                    bound=1.0,
                ),
            ),
        )
    )
)
