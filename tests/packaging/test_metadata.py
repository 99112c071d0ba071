"""Both distributions take version and dependencies from one source."""

import tomllib

from tests.stack import ROOT

CLIENT = tomllib.loads((ROOT / "packaging/client/pyproject.toml").read_text())
PRODUCT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_client_depends_on_the_same_versions_as_the_product():
    product = (ROOT / "requirements.in").read_text().splitlines()

    assert len(CLIENT["project"]["dependencies"]) == 2
    assert set(CLIENT["project"]["dependencies"]) <= set(product)


def test_both_distributions_are_built_alike():
    assert CLIENT["build-system"] == PRODUCT["build-system"]
    assert CLIENT["project"]["requires-python"] == PRODUCT["project"]["requires-python"]
    assert (
        CLIENT["tool"]["hatch"]["version"]["path"] == f"../../{PRODUCT['tool']['hatch']['version']['path']}"
    )
