"""The tables of the robustness page are what the results give."""

import robustness


def test_tables_of_the_page():
    text = robustness.PAGE.read_text()
    assert robustness.page(text) == text, 'run tools/robustness.py'
    assert text.count('<!-- made: ') == 4
