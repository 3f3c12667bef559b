"""Short names for paths: what each has that the others do not."""


def without_common(rows: list[list[str]], end: int) -> list[list[str]]:
    """Return rows of words without those that all have at an end.

    Args:
        rows: Such as the parts of paths.
        end: 0 for the beginning, -1 for the end.
    """
    rows = [[*row] for row in rows]
    while (
        len(rows) > 1
        and min(map(len, rows)) > 1
        and len({row[end] for row in rows}) == 1
    ):
        for row in rows:
            row.pop(end)
    return rows
