"""What the doctor found: sections of lines, problems and plain facts."""

from dataclasses import dataclass, field


@dataclass
class Section:
    """One thing that was looked at.

    Attributes:
        title: Its heading.
        lines: What was found, for a terminal.
        warnings: Sentences about what may be wrong, each with the fix.
        problems: The same about what is wrong.
        facts: The same for a program, JSON values only.
    """

    title: str
    lines: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    facts: dict = field(default_factory=dict)


def report(sections: list[Section]) -> str:
    """Return sections as text: what was found, then what is wrong."""
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
    """Return rows, the first of which is the heading, as aligned lines."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return [
        '  '.join(cell.ljust(n) for cell, n in zip(row, widths)).rstrip()
        for row in rows
    ]
