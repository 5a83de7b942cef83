"""A YAML file that a user wrote is read strictly; what is wrong with it is one line with its place."""

from pathlib import Path

import pytest

from verl_coder.errors import ConfigError
from verl_coder.yaml_files import read_mapping, read_yaml


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"a:\n  b: 1\n  b: 2\n", "line 3, column 3: the key 'b' is there twice"),
        (b"a: 1\na: 1\n", "line 2, column 1: the key 'a' is there twice"),
        (b"a:\n\tb: 1\n", "line 2, column 1: it is no YAML, .*a tab"),
        (b"a: [", "line 1, .*it is no YAML"),
        (b"a: 1\n---\na: 2\n", "line 2, column 1: it is no YAML"),
        (b"a: !!python/object/apply:os.getcwd []\n", "line 1, column 4: it is no YAML, .*tag"),
        (b"a: \xe9\n", "no UTF-8 text"),
        (b"\0\1", "it is no YAML"),
    ],
)
def test_what_is_wrong_is_one_line_with_its_place(text: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(text)
    with pytest.raises(ConfigError, match=words) as caught:
        read_yaml(path)
    assert "\n" not in str(caught.value)


def test_a_folder_and_a_missing_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="it is a folder"):
        read_yaml(tmp_path)
    with pytest.raises(ConfigError, match="there is no such file"):
        read_yaml(tmp_path / "a.yaml")


def test_the_same_key_in_two_sections_and_merged_keys_are_honest(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("base: &base {x: 1, y: 2}\nother:\n  <<: *base\n  x: 3\nx: 4\n")
    assert read_yaml(path)["other"] == {"x": 3, "y": 2}


@pytest.mark.parametrize("content", [b"a: [", b"- a", b"a: \xff", b"a: \0", b"", b"a: 1\na: 2"])
def test_what_holds_no_mapping_is_one_line_with_place_and_fix(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=r"--like x.*: put it back$") as error:
        read_mapping(tmp_path / "x.yaml", "put it back", place="--like x")
    assert "\n" not in str(error.value)
