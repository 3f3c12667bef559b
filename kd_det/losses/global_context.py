"""GlobalContext: relations between the positions of a feature map."""

import torch
from torch import Tensor, nn


class GlobalContext(nn.Module):
    r"""Add to each position what attention gathers from all of them.

    .. math::
        R(f)_x = f_x + W_2 \mathrm{ReLU}(\mathrm{LN}(W_1 \sum_y a_y f_y)),
        \qquad a = \operatorname{softmax}_y(w \cdot f_y)

    over the positions y inside the mask. The second layer starts at zero, so
    R is the identity at first.

    Args:
        channels: Channels of the map.

    Paper: GCNet, https://arxiv.org/abs/1904.11492
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels // 2, 1)
        self.attention = nn.Conv2d(channels, 1, 1)
        first = nn.Conv2d(channels, hidden, 1)
        last = nn.Conv2d(hidden, channels, 1)
        self.transform = nn.Sequential(
            first, nn.LayerNorm([hidden, 1, 1]), nn.ReLU(), last
        )
        nn.init.kaiming_normal_(self.attention.weight, mode='fan_in')
        nn.init.constant_(self.attention.get_parameter('bias'), 0)
        for parameter in last.parameters():
            nn.init.zeros_(parameter)

    def forward(self, feat: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return a map (N, C, H, W).

        Args:
            feat: Shape (N, C, H, W).
            mask: Positions to use, boolean (N, 1, H, W); default: all.
        """
        logits = self.attention(feat)
        if mask is not None:
            lowest = torch.finfo(logits.dtype).min
            logits = logits.masked_fill(~mask, lowest)
        weights = logits.flatten(2).softmax(2)
        context = (feat.flatten(2) * weights).sum(2)[..., None, None]
        return feat + self.transform(context)
