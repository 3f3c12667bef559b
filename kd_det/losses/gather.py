"""Gather rows from all ranks, for relational losses."""

import torch
from mmengine.dist import all_gather, get_rank, get_world_size
from torch import Tensor
from torch.nn import functional as F


def gather_rows(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Return the rows of all ranks, in rank order.

    The ranks may have different numbers of rows. Gradients only reach the rows
    of this rank, see :func:`global_gradient`.

    Args:
        tensors: Each (N, ...), with the N of this rank.
    """
    if get_world_size() == 1:
        return tensors
    own = tensors[0]
    count = own.new_full((), len(own), dtype=torch.long)
    # synchronises: the shapes must be known here
    counts = [int(count) for count in all_gather(count)]
    return tuple(_gather(tensor, counts) for tensor in tensors)


def global_gradient(value: Tensor) -> Tensor:
    """Return the loss of all rows with its gradient multiplied by the ranks.

    Every rank computes the same loss L of the gathered rows, but only the
    gradient with respect to its own rows: with weights w and the rows x_r of
    rank r this is dL/dx_r dx_r/dw. Data-parallel training averages over ranks,
    but the gradient of L is the sum.
    """
    return value + (get_world_size() - 1) * (value - value.detach())


def _gather(rows: Tensor, counts: list[int]) -> Tensor:
    # collectives need equal shapes
    missing = max(counts) - len(rows)
    padding = [0, 0] * (rows.ndim - 1) + [0, missing]
    shards = all_gather(F.pad(rows.detach(), padding))
    shards = [shard[:count] for shard, count in zip(shards, counts)]
    shards[get_rank()] = rows
    return torch.cat(shards)
