"""What tests of whole commands share."""

import pytest


@pytest.fixture(scope="module")
def no_figures():
    """Pages without figures, which take longest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("durian.rendering.page.report_figures", lambda summary, units: [])
        yield
