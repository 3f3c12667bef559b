"""The doctor's findings: sections of lines, warnings, problems and facts."""

from dataclasses import dataclass, field


@dataclass
class Section:
    """The findings about one topic.

    Attributes:
        title: Its heading.
        lines: The findings as text, for a terminal.
        warnings: Sentences about possible errors, each with the fix.
        problems: Sentences about errors, each with the fix.
        facts: The findings as JSON values, for programs.
    """

    title: str
    lines: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    facts: dict = field(default_factory=dict)


def report(sections: list[Section]) -> str:
    """Return sections as text: the findings, then the problems."""
    blocks = []
    for section in sections:
        lines = [
            *section.lines,
            *(f'WARNING: {text}' for text in section.warnings),
            *(f'PROBLEM: {text}' for text in section.problems),
        ]
        if lines:
            blocks.append('\n  '.join([section.title, *lines]))
    count = sum(len(section.problems) for section in sections)
    blocks.append(
        'No problems found.'
        if count == 0
        else f'{count} problem{"s" * (count > 1)} found.'
    )
    return '\n\n'.join(blocks)


def as_json(sections: list[Section]) -> dict:
    """Return sections as JSON values, by title."""
    return {
        'healthy': not any(section.problems for section in sections),
        'sections': {
            section.title: dict(
                section.facts,
                text=section.lines,
                warnings=section.warnings,
                problems=section.problems,
            )
            for section in sections
        },
    }


def table(rows: list[tuple[str, ...]]) -> list[str]:
    """Return rows as aligned lines; the first row is the header."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return [
        '  '.join(cell.ljust(n) for cell, n in zip(row, widths)).rstrip()
        for row in rows
    ]
