"""DataReport: what was found in a data set, for the log of a run."""

from dataclasses import dataclass, field
from logging import Logger


@dataclass
class DataReport:
    """What a data set holds, and what in it may be an error.

    Attributes:
        split: Which loader reads it.
        source: Its annotation file or folder.
        facts: Counts by name.
        warnings: Sentences, each with an example and what can be done.
        images: Paths of its images, where they lie on this disk.
    """

    split: str
    source: str
    facts: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    images: set[str] = field(default_factory=set, repr=False)

    def __str__(self) -> str:
        facts = ', '.join(f'{v:,} {name}' for name, v in self.facts.items())
        return f'{self.split} data {self.source!r}: {facts}.'

    def log(self, logger: Logger) -> None:
        """Write it to a log: the facts, and each warning."""
        logger.info(str(self))
        for warning in self.warnings:
            logger.warning(f'{self.split} data {self.source!r}: {warning}')


def tell_shared(reports: list[DataReport]) -> None:
    """Warn of images that are both trained on and evaluated on.

    Args:
        reports: Of all data sets of a run.
    """
    trained = set().union(*(r.images for r in reports if r.split == 'train'))
    for report in reports:
        shared = report.images & trained
        if shared and report.split != 'train':
            report.warnings.append(
                f'{len(shared):,} of the {len(report.images):,} images are '
                f'trained on too, the first {min(shared)!r}; the score says '
                'little about other images: take them out of one set.'
            )
