"""Verification across machines: two Ray nodes, each with its own sandbox."""

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.data.conftest import toy_record, write_jsonl
from verl_coder.data.verification import VerifyOptions
from verl_coder.errors import ConfigError

pytest.importorskip("ray", reason="Ray is not installed")


@pytest.fixture(scope="module")
def cluster_address() -> Iterator[str]:
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20)
    yield cluster.address
    cluster.shutdown()


def test_every_machine_verifies_and_the_result_is_that_of_one_machine(
    prepare_toy, tmp_path: Path, cluster_address: str
) -> None:
    records = [toy_record(n) for n in range(24)]
    records[5]["code"] = "def f(x):\n    return 0\n"
    source = write_jsonl(tmp_path / "raw.jsonl", records)
    prepare_toy(source, tmp_path / "ray", verify=VerifyOptions(ray_address=cluster_address, concurrency=2))
    prepare_toy(source, tmp_path / "one", verify=VerifyOptions())
    for name in ("train.parquet", "validation.parquet"):
        assert (tmp_path / "ray" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    [rejection] = pq.read_table(tmp_path / "ray" / "rejected.parquet").to_pylist()
    assert (rejection["problem_id"], rejection["reason"]) == ("toy/5", "failed")
    verdicts = [json.loads(line) for line in (tmp_path / "ray" / "verdicts.jsonl").read_text().splitlines()]
    assert len({verdict["machine"] for verdict in verdicts}) == 2


def test_a_cluster_that_is_not_there_is_one_line(prepare_toy, tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "raw.jsonl", [toy_record(1)])
    with pytest.raises(ConfigError, match=r"^no Ray cluster at '127\.0\.0\.1:1' \("):
        prepare_toy(source, verify=VerifyOptions(ray_address="127.0.0.1:1"))
    assert not (tmp_path / "out").exists()
