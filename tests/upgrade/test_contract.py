"""What is installed is what we rely on: every touch is recorded, holds, and has a note on its cost."""

import pytest

from verl_coder.upgrade.contract import read_contract
from verl_coder.upgrade.costs import missing_notes, read_costs
from verl_coder.upgrade.review import README, Review, cost_table, readme_table, recorded_packages

MANY = {"verl": 200, "transfer_queue": 5, "vllm": 5, "ray": 5}
"""Fewer names than these, and the reader of our source has gone blind."""


@pytest.fixture(scope="module")
def review() -> Review:
    return Review()


@pytest.mark.timeout(300)
def test_the_installed_versions_break_nothing(review: Review) -> None:
    """Of the versions that are recorded; beside another profile's there may be breaks that are known."""
    report = review.check()
    same = {
        package
        for package in recorded_packages()
        if package in review.now
        and (was := read_contract(package, review.now[package].version)) is not None
        and was.version == review.now[package].version
    }
    assert "verl" in same
    told = [line for line in report.lines if line.startswith(("BREAK", "NOT RECORDED"))]
    mine = [
        line
        for line in told
        if line.split()[line.startswith("NOT") + 1].partition(".")[0].partition(":")[0] in same
    ]
    assert mine == []


def test_every_area_has_a_note_and_every_note_an_area(review: Review) -> None:
    names = [name for contract in review.now.values() for name in contract.names]
    assert missing_notes(names, read_costs()) == ([], [])


def test_the_table_of_areas_is_up_to_date() -> None:
    contracts = {package: read_contract(package, None) for package in recorded_packages()}
    table = cost_table({name: its for name, its in contracts.items() if its}, read_costs())
    assert readme_table(README.read_text()) == table, "out of date: verl-coder upgrade record"


def test_the_reader_sees_what_is_known_to_be_touched(review: Review) -> None:
    for package, least in MANY.items():
        assert len(review.now[package].names) >= least
    seen = {(one.kind, one.name, one.file) for one in review.found}
    engine = "verl.workers.engine.fsdp.transformer_impl"
    for kind, name, file in (
        ("patch", f"{engine}.CPUOffloadPolicy", "platform/fsdp_cpu.py"),
        ("patch", f"{engine}.prepare_micro_batches", "platform/shared_prefix.py"),
        ("patch", "zmq.Socket.bind", "platform/weight_sockets.py"),
        ("subclass", "verl.trainer.ppo.v1.trainer_sync.PPOTrainerSync", "trainer/rl_trainer.py"),
        (
            "override",
            "verl.trainer.ppo.v1.trainer_base.PPOTrainer._save_checkpoint",
            "trainer/checkpointing.py",
        ),
        ("call", "transfer_queue.kv_clear", "trainer/composite/update.py"),
        ("string", "verl.trainer.config", "sft/trainer.py"),
        ("word", "verl:name:_dispatch_info", "trainer/composite/update.py"),
        ("config", "verl:config:trainer.v1.trainer_mode", ".yaml"),
    ):
        assert any(one[:2] == (kind, name) and one[2].endswith(file) for one in seen), (kind, name, file)
