"""From settings to stores: where objects of an archive go."""

from __future__ import annotations

from pathlib import Path

import pytest

from engineroom.errors import SettingsError
from engineroom.server.stores import open_objects


@pytest.mark.parametrize(
    ("url", "prefix"), [("s3://bucket", None), ("s3://bucket/", None), ("s3://bucket/a/b", "a/b")]
)
@pytest.mark.parametrize("endpoint", [None, "http://127.0.0.1:1", "https://s3.example.org"])
def test_a_bucket(url: str, prefix: str | None, endpoint: str | None) -> None:
    """A bucket is Amazon's, or at the endpoint that is stated; what follows it stands before every name."""
    objects = open_objects(url, endpoint)
    assert (objects.prefix or None) == prefix
    config = objects.config
    assert config["bucket"] == "bucket"
    assert config.get("endpoint") == endpoint


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """An archive that cannot be had is named."""
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"the archive file://\S+/file/below cannot be used"):
        open_objects(f"file://{tmp_path}/file/below", None)
