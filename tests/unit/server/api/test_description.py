"""The OpenAPI description: valid, and about the routes that there are."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from openapi_spec_validator import validate
from starlette.routing import Route

from engineroom.server.api.description import DOCUMENT_OPERATIONS, describe
from engineroom.server.api.mounting import DESCRIPTION_PATH, api_routes
from engineroom.server.api.problems import TITLES
from engineroom.server.api.version_description import VERSION_OPERATIONS
from engineroom.server.authority import Authority

OPERATIONS = (*DOCUMENT_OPERATIONS, *VERSION_OPERATIONS)


class Parts:
    """What the routes are made of; none is used."""

    authority = Authority()
    documents: Any = None
    past: Any = None
    http_body_bytes = 1_024


@pytest.fixture
def description() -> Any:
    """The description, as a client reads it."""
    return msgspec.json.decode(describe(OPERATIONS))


def test_it_is_valid(description: Any) -> None:
    """It follows OpenAPI 3.1."""
    validate(description)
    assert description["openapi"] == "3.1.0"


def test_it_describes_every_route(description: Any) -> None:
    """Each route of the API is described, with each of its methods, and nothing else is."""
    routes: set[tuple[str, str]] = set()
    for route in api_routes(Parts()):
        assert isinstance(route, Route)
        path = re.sub(r"\{(\w+):path\}", r"{\1}", route.path)
        methods = (route.methods or set()) - {"HEAD"}
        routes |= {(path, method.lower()) for method in methods if path != DESCRIPTION_PATH}
    described = {
        (path, method)
        for path, item in description["paths"].items()
        for method in item
        if method != "parameters"
    }
    assert described == routes


def test_its_codes_are_known(description: Any) -> None:
    """Every refusal that an operation names exists, and every code is named by an operation or by all."""
    for operation in OPERATIONS:
        assert set(operation.problems) <= TITLES.keys(), operation.name
    names = [operation.name for operation in OPERATIONS]
    assert len(set(names)) == len(names)


def test_operations_of_a_patch_are_described(description: Any) -> None:
    """The operations of PATCH are there with their tags."""
    schemas = description["components"]["schemas"]
    tags = {
        schema["properties"]["op"]["enum"][0]
        for schema in schemas.values()
        if "op" in schema.get("properties", {})
    }
    assert {"text.insert", "text.append", "map.set", "array.delete"} <= tags
