"""SD-NKD: NKD of regions, see `sddkd.py` and `nkd.py`. A child gives gamma.

The code takes temperature and gamma from its settings of DKD, unlike its
NKD.
"""

_base_ = './sddkd.py'
method = dict(
    distillers=dict(
        logit=dict(
            losses=dict(
                loss_sdd=dict(
                    base=dict(
                        _delete_=True,
                        type='NKDLoss',
                        tau=4.0,
                        mask_target=False,
                    )
                )
            )
        )
    )
)
