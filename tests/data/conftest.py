"""What tests of all datasets share."""

from collections.abc import Iterator

import pytest
from small_datasets import DATASETS, Dataset


@pytest.fixture(scope="module", params=DATASETS)
def dataset(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dataset]:
    data_class, put_files = DATASETS[request.param]
    root = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        yield Dataset(data_class, root, put_files(root, patch))
