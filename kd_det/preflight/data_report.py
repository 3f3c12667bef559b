"""DataReport: the contents of a data set and warnings, for the log."""

from dataclasses import dataclass, field
from logging import Logger


@dataclass
class DataReport:
    """The contents of a data set, and warnings of possible errors.

    Attributes:
        split: Which loader reads it.
        source: Its annotation file or folder.
        facts: Counts by name.
        warnings: Sentences, each with an example and a fix.
        images: Paths of its images, if they are local.
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
        """Log the facts and each warning."""
        logger.info(str(self))
        for warning in self.warnings:
            logger.warning(f'{self.split} data {self.source!r}: {warning}')


def tell_shared(reports: list[DataReport]) -> None:
    """Warn about images used for both training and evaluation.

    Args:
        reports: Reports of all data sets of a run.
    """
    trained = set().union(*(r.images for r in reports if r.split == 'train'))
    for report in reports:
        shared = report.images & trained
        if shared and report.split != 'train':
            report.warnings.append(
                f'{len(shared):,} of the {len(report.images):,} images are '
                f'also trained on, the first {min(shared)!r}, so the score '
                'says little about unseen images; remove them from one set.'
            )
