"""A bucket for the tests of a module, and fixtures to inspect it."""

from collections.abc import Callable, Iterator

import pytest

from models.table import blobs
from models.table.blobs import BlobSettings
from models.table.connection import TableSettings
from tests.buckets import new_bucket, objects


@pytest.fixture(scope="module")
def _bucket(table: TableSettings) -> Iterator[BlobSettings]:
    with new_bucket() as made:
        yield made


@pytest.fixture
def bucket(_bucket: BlobSettings) -> Iterator[BlobSettings]:
    """The module's bucket, configured and empty."""
    blobs.configure(_bucket)
    blobs.delete([each.key for each in blobs.every()])
    yield _bucket
    blobs.configure(_bucket)


@pytest.fixture
def stored(bucket: BlobSettings) -> Callable[[], dict[str, bytes]]:
    """Return a function that returns everything in the bucket."""
    return lambda: objects(bucket)
