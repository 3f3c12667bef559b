"""`rkd.py` on embeddings of length 1, as its authors have it."""

_base_ = './rkd.py'
method = dict(
    distillers=dict(
        logit=dict(
            losses=dict(
                loss_rkd_d=dict(normalize=True),
                loss_rkd_a=dict(normalize=True),
            )
        )
    )
)
