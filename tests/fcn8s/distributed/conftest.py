import pytest


@pytest.fixture(scope='session')
def small_model(shallow_model):
    """As that of all tests of fcn8s, on a shallow encoder: processes are the same around any network."""
    return shallow_model
