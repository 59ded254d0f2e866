"""One cluster for all of these tests."""

import pytest

from tests.cluster.slurm import Cluster, why_not


@pytest.fixture(scope="session")
def cluster(request, tmp_path_factory):
    if "cluster" not in request.config.option.markexpr:  # it installs packages
        pytest.skip("run by -m cluster alone")
    if reason := why_not():
        pytest.skip(reason)
    with Cluster(tmp_path_factory.mktemp("slurm")) as found:
        yield found
