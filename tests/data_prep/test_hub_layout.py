"""A local copy of each dataset's hub repository is read by its folder, whatever else lies in it."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from verl_coder.data.dataset import LoadOptions, load_dataset_file
from verl_coder.data.prepare import PrepareOptions, prepare

LAYOUTS = {
    ("mbpp", "full"): {
        "full/prompt-00000-of-00001.parquet": {"task_id": 2},
        "full/test-00000-of-00001.parquet": {"task_id": 11},
        "full/train-00000-of-00001.parquet": {"task_id": 601},
    },
    ("mbpp", "sanitized"): {
        "sanitized/test-00000-of-00001.parquet": {"task_id": 12},
        "sanitized/train-00000-of-00001.parquet": {"task_id": 602},
    },
    ("mbpp", "plus"): {"data/test-00000-of-00001-d5781c9c51e02795.parquet": {"task_id": 13}},
    ("apps", "all"): {"train.jsonl": {}, "test.jsonl": {}},
    ("leetcode", "all"): {
        "LeetCodeDataset-train.jsonl": {},
        "LeetCodeDataset-test.jsonl": {"task_id": "other"},
    },
    ("kodcode", "light-rl-10k"): {
        "data/train-00000-of-00002.parquet": {},
        "data/train-00001-of-00002.parquet": {"question_id": "other", "test_info": None},
    },
    ("humaneval", "all"): {"openai_humaneval/test-00000-of-00001.parquet": {}},
    ("livecodebench", "all"): {"test.jsonl": {}, "test6.jsonl": {"question_id": "other"}},
}


@pytest.mark.parametrize(("name", "variant"), LAYOUTS, ids=lambda part: part)
def test_a_copy_of_the_hub_repository_is_read(name: str, variant: str, tmp_path: Path) -> None:
    dataset = load_dataset_file(name)
    example = dataset.example_records.get(variant) or next(iter(dataset.example_records.values()))
    files = LAYOUTS[name, variant]
    copy = tmp_path / "copy"
    for file, changes in files.items():
        path = copy / file
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".parquet":
            pq.write_table(pa.Table.from_pylist([{**example, **changes}]), path)
        else:
            path.write_text(json.dumps({**example, **changes}) + "\n")
    (copy / f"{name}.py").write_text("raise RuntimeError('the loading script ran')")
    (copy / "dataset_infos.json").write_text("{}")
    options = PrepareOptions(
        out=tmp_path / "out", load=LoadOptions(variant=variant), source=str(copy), strict=True, verify=None
    )
    result = prepare(dataset, options)
    assert sum(file.rows for file in result.files) == len(files)
    held_out = {file.path.name: file.rows for file in result.files}.get("test.parquet", 0)
    assert held_out == (
        len(files) if name in ("livecodebench", "humaneval") else sum("test" in f for f in files)
    )
