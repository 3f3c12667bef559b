"""AT on the maps of all blocks, weighted as the paper's baseline."""

method = dict(
    distillers=dict(
        feats=dict(
            type='FeatureDistiller',
            taps=dict(
                student=[
                    'backbone.blocks.0',
                    'backbone.blocks.1',
                    'backbone.blocks.2',
                    'backbone.blocks.3',
                ],
                teacher=[
                    'backbone.blocks.0',
                    'backbone.blocks.1',
                    'backbone.blocks.2',
                    'backbone.blocks.3',
                ],
            ),
            losses=dict(
                loss_at=dict(type='AttentionTransferLoss', loss_weight=10.0)
            ),
        )
    )
)
