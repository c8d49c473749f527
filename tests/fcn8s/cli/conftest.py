import pytest
from small_models import save_small_model


@pytest.fixture(scope='session')
def small_model(tmp_path_factory, shallow_encoder):
    """As that of all tests of fcn8s, on a shallow encoder: commands are the same around any network."""
    return save_small_model(str(tmp_path_factory.mktemp('small_model')), shallow_encoder)
