"""What every netns test gets: the lab package on the path and one running figure 7 per module.
The logs of a module stay in /tmp only when one of its tests failed."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from lab import core, world  # noqa: E402


@pytest.fixture(scope="module")
def figure7(request):
    failed_before = request.session.testsfailed
    with core.Lab() as lab:
        yield world.Figure7(lab)
        lab.keep_logs = request.session.testsfailed > failed_before
