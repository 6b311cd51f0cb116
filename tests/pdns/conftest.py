"""What every test of the PowerDNS module gets: a store, and a pdns_server on it."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import serving  # noqa: E402


@pytest.fixture
def folder():
    with serving.scratch() as path:
        yield path


@pytest.fixture
def store(folder):
    with serving.Store(folder / "store") as opened:
        yield opened


@pytest.fixture
def server(folder, store):
    serving.example_zone(store)
    with serving.Server(folder, store.directory) as running:
        yield running
