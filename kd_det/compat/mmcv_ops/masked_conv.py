"""The two parts of MMCV's masked convolution, for inference only.

In between, MMCV multiplies the columns by the kernel.
"""

from torch import Tensor
from torch.nn import functional as F


def masked_im2col_forward(
    input: Tensor,
    rows: Tensor,
    columns: Tensor,
    output: Tensor,
    kernel_h: int,
    kernel_w: int,
    pad_h: int,
    pad_w: int,
) -> None:
    """Write the input patches at some cells into ``output``.

    Args:
        input: (1, C, H, W).
        rows, columns: (N,), positions in the output map.
        output: (C · ``kernel_h`` · ``kernel_w``, N).
        pad_h, pad_w: Zeros around the input.
    """
    kernel, padding = (kernel_h, kernel_w), (pad_h, pad_w)
    width = input.shape[3] + 2 * pad_w - kernel_w + 1
    covered = F.unfold(input, kernel, padding=padding)[0]
    output.copy_(covered[:, rows.long() * width + columns.long()])


def masked_col2im_forward(
    values: Tensor,
    rows: Tensor,
    columns: Tensor,
    output: Tensor,
    height: int,
    width: int,
    channels: int,
) -> None:
    """Write values, (C, N), to some cells of ``output``, (1, C, H, W)."""
    output[0, :, rows.long(), columns.long()] = values
