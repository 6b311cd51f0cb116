"""What every netns test gets: the lab package on the path and one running figure 7 per module."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from lab import core, world  # noqa: E402


@pytest.fixture(scope="module")
def figure7():
    with core.Lab() as lab:
        yield world.Figure7(lab)
