"""Assigns the student's queries to the teacher's."""

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from kd_det.functional import query_costs


def match_queries(
    student: tuple[Tensor, Tensor],
    teacher: tuple[Tensor, Tensor],
    weights: Tensor,
    costs: tuple[float, float, float],
) -> tuple[Tensor, Tensor]:
    """Assign queries image by image, each to at most one, at the least cost.

    The cost of a pair counts as much as its teacher's query. If the teacher
    has more queries than the student, its most confident ones are used.

    Args:
        student: Logits of scores (B, P, K) and boxes (B, P, 4).
        teacher: Logits of scores (B, Q, K) and boxes (B, Q, 4).
        weights: Weight of each of the teacher's queries, (B, Q).
        costs: Weights of the class, L1 and GIoU cost, see
            :func:`query_costs`.

    Returns:
        Indices (B, M) into the student's queries and into the teacher's, with
        the smaller of P and Q as M.
    """
    with torch.no_grad():
        logits, boxes = teacher
        count = min(student[0].shape[1], logits.shape[1])
        theirs = logits.amax(2).topk(count, dim=1).indices
        found = [
            query_costs(*ours, own[rows], at[rows], *costs)
            for *ours, own, at, rows in zip(*student, logits, boxes, theirs)
        ]
        # a NaN must get as far as the loss, where it is noticed
        table = torch.stack(found) * weights.gather(1, theirs)[:, None]
        table = table.nan_to_num()
        device = table.device
        ours = [
            torch.from_numpy(linear_sum_assignment(image.T)[1])
            for image in table.cpu().numpy()
        ]
        return torch.stack(ours).to(device), theirs
