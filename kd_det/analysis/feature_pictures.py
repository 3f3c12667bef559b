"""The pictures of a comparison that papers draw, and their numbers."""

from pathlib import Path

import torch
from mmengine.dataset import pseudo_collate

from kd_det.analysis import attention_maps, logit_relations, region_maps
from kd_det.analysis.embeddings import draw_projection, project
from kd_det.analysis.feature_probe import FeatureProbe
from kd_det.analysis.panels import frequent
from kd_det.analysis.pictures import rgb, swaps
from kd_det.datasets.chosen import Chosen, spread
from kd_det.distillers.class_match import ClassMatch
from kd_det.errors import UserError

Probes = dict[str, FeatureProbe]
SHOWN = 6  # images with attention maps


def common_classes(
    ours: tuple[str, ...], theirs: tuple[str, ...]
) -> ClassMatch | None:
    """Return the match of two lists of classes, None without a common name.

    Args:
        ours: Class names of the students.
        theirs: Class names of the teacher, if known.
    """
    try:
        return ClassMatch(ours, theirs or ours)
    except UserError:
        return None


def write_logits(folder: Path, nets: Probes, names: list[str]) -> dict:
    """Write ``logits.png`` if the networks have logits, see `LogitProbe`.

    Args:
        folder: Output folder.
        nets: Title -> network, the teacher first.
        names: Names of the classes whose logits the networks collected.

    Returns:
        Title -> :func:`relation_numbers`; empty without logits.
    """
    logits = {name: net.answers.logits() for name, net in nets.items()}
    if any(own is None for own in logits.values()) or len(names) < 2:
        return {}
    theirs = logits.pop('teacher')
    gaps = {
        name: logit_relations.relation_gap(ours, theirs)
        for name, ours in logits.items()
    }
    numbers = {
        name: logit_relations.relation_numbers(ours, theirs)
        for name, ours in logits.items()
    }
    logit_relations.draw_relations(folder / 'logits.png', gaps, numbers, names)
    return numbers


def write_projection(folder: Path, nets: Probes, names: list[str]) -> dict:
    """Write ``projection.png`` of the deepest level.

    Args:
        folder: Output folder.
        nets: Title -> network.
        names: Class names.

    Returns:
        Title -> share of the variance in the plane.
    """
    labels = nets['teacher'].labels()
    shown = frequent(labels.numpy(), len(names))
    member = torch.isin(labels, torch.tensor(shown))
    panels, shares = {}, {}
    for name, net in nets.items():
        x = torch.cat(net.rows[-1])[member].double()
        points = project(x)
        total = (x - x.mean(0)).square().sum().clamp(min=1e-300)
        shares[name] = (points.square().sum() / total).item()
        panels[name] = points.numpy()
    places = torch.tensor([shown.index(k) for k in labels[member].tolist()])
    draw_projection(
        folder / 'projection.png',
        panels,
        places.numpy(),
        [names[k] for k in shown],
    )
    return shares


def write_attention(folder: Path, nets: Probes, dataset: Chosen) -> dict:
    """Write ``attention.png`` for a few images.

    The level is the deepest of a classifier, and the middle one of a detector.

    Args:
        folder: Output folder.
        nets: Title -> network, the teacher first.
        dataset: The images.

    Returns:
        ``images``, the places in the test set, ``stride`` of the level, and
        ``cosine``: title -> mean cosine with the teacher's attention.
    """
    teacher = nets['teacher']
    count = len(teacher.levels)
    detects = hasattr(dataset[0]['data_samples'], 'gt_instances')
    level = count // 2 if detects else count - 1
    places = spread(range(len(dataset)), SHOWN)
    images, maps, sizes = [], [], []
    for place in places:
        sample = dataset[place]
        shown = {}
        for name, net in nets.items():
            found, size = net.maps(pseudo_collate([sample]))
            for part, own in net.parts(level).items():
                seen = attention_maps.attention(found[level][0, own])
                shown[f'{name}{part}'] = seen.cpu()
        swapped = swaps(teacher.model.data_preprocessor)
        images.append(rgb(sample['inputs'], swapped))
        maps.append(shown)
        sizes.append(size)
    attention_maps.draw_attention(
        folder / 'attention.png', images, maps, sizes
    )
    cosine = {
        title: sum(attention_maps.alike(m[title], m['teacher']) for m in maps)
        / len(maps)
        for title in maps[0]
    }
    return dict(
        images=[dataset.indices[place] for place in places],
        stride=teacher.strides[level],
        cosine=cosine,
    )


def write_regions(
    folder: Path,
    teacher: FeatureProbe,
    match: ClassMatch | None,
    dataset: Chosen,
) -> list[dict] | None:
    """Write ``regions.png`` for a classifier that averages its last map.

    Args:
        folder: Output folder.
        teacher: The teacher.
        match: Of the classes of students and teacher.
        dataset: The images.

    Returns:
        See :func:`ambiguous`, with ``image``, the place in the test set; None
        for other networks.
    """
    logits = teacher.answers.regions()
    if logits is None or match is None:
        return None
    labels = match.relabel.cpu()[teacher.labels()]
    known = (labels >= 0).nonzero()[:, 0]
    logits, labels = logits[known], labels[known]
    found = region_maps.ambiguous(logits, labels)
    shown = [entry['sample'] for entry in found[: region_maps.MOST]]
    if shown:
        swapped = swaps(teacher.model.data_preprocessor)
        images = [dataset[int(known[k])]['inputs'] for k in shown]
        region_maps.draw_regions(
            folder / 'regions.png',
            [rgb(image, swapped) for image in images],
            logits[shown],
            labels[shown].tolist(),
            [*match.names],
        )
    return [
        dict(
            image=dataset.indices[int(known[entry['sample']])],
            complementary=entry['complementary'],
        )
        for entry in found
    ]
