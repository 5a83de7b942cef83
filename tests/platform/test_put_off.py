"""PyTorch's compiler is not imported for its decorators, and is itself as soon as it is asked for more."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

_CODE = """
import json, sys, threading
from verl_coder.platform import put_off
put_off.install()
put_off.install()
import torch
import verl.trainer.main_ppo, transformers.modeling_utils
facts = {
    "imported": sorted({"torch._dynamo.eval_frame", "sympy", "torch.distributed.fsdp"} & set(sys.modules)),
    "finders": sum(type(finder).__module__ == put_off.__name__ for finder in sys.meta_path),
}
import torch._dynamo
facts["no attribute"] = hasattr(torch._dynamo, "__wrapped__")
disable = torch.compiler.disable
before = disable(lambda x: x + 1)
facts["without compiling"] = [before(1), disable(recursive=False)(before)(1), torch._dynamo.graph_break()]
parameter = torch.nn.Parameter(torch.ones(2))
optimizer = torch.optim.AdamW([parameter], lr=0.5)
parameter.sum().backward()
optimizer.step()
facts["a step of AdamW"] = parameter.tolist()
facts["after it"] = "torch._dynamo.eval_frame" in sys.modules

found = []
def ask():
    found.append(torch._dynamo.config)
threads = [threading.Thread(target=ask) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
facts["threads"] = [len(found), len(set(map(id, found)))]
compiler = torch._dynamo
facts["loaded"] = [type(compiler).__name__, compiler.disable.__module__, compiler is sys.modules["torch._dynamo"]]
facts["compiled"] = torch.compile(lambda x: x * 2 + 1, backend="eager")(torch.ones(3)).tolist()
try:
    torch._dynamo.there_is_no_such_name
except AttributeError as error:
    facts["unknown"] = str(error)
print(json.dumps(facts))
"""


@pytest.fixture(scope="module")
def facts() -> dict[str, Any]:
    """What a process says that has imported verl and transformers, then compiles a function."""
    done = subprocess.run([sys.executable, "-c", _CODE], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_verl_and_transformers_are_imported_without_the_compiler(facts: dict[str, Any]) -> None:
    assert facts["imported"] == [] and facts["no attribute"] is False


def test_installed_twice_it_is_there_once(facts: dict[str, Any]) -> None:
    assert facts["finders"] == 1


def test_its_decorators_leave_functions_alone(facts: dict[str, Any]) -> None:
    assert facts["without compiling"] == [2, 2, None]


def test_an_optimizer_steps_without_it(facts: dict[str, Any]) -> None:
    assert facts["a step of AdamW"] == pytest.approx([0.495, 0.495])
    assert facts["after it"] is False


def test_threads_that_ask_at_once_find_one_compiler(facts: dict[str, Any]) -> None:
    assert facts["threads"] == [8, 1]
    assert facts["loaded"] == ["module", "torch._dynamo.decorators", True]


def test_what_is_compiled_afterwards_is_right(facts: dict[str, Any]) -> None:
    assert facts["compiled"] == [3.0, 3.0, 3.0]


def test_an_unknown_name_is_an_attribute_error(facts: dict[str, Any]) -> None:
    assert "there_is_no_such_name" in facts["unknown"]


_ASKED = """
import sys
from verl_coder.platform import put_off
put_off.install()
import verl.utils.dataset.rl_dataset, verl.workers.rollout
print(sorted({"torch.distributed.fsdp", "scipy.optimize._optimize"} & set(sys.modules)))
import scipy.optimize as optimize
early = optimize.linear_sum_assignment
print([list(map(int, row)) for row in early([[1, 0], [0, 1]])], optimize.linear_sum_assignment is not early)
from verl.workers.rollout import HFRollout
try:
    HFRollout()
except TypeError as error:
    print(error)
"""


def test_what_is_called_of_a_module_that_is_put_off_is_its_own() -> None:
    done = subprocess.run([sys.executable, "-c", _ASKED], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:2] == ["[]", "[[0, 1], [1, 0]] True"]
    assert "abstract class HFRollout" in done.stdout.splitlines()[2], "verl's own error"


_SUBMODULES = """
import sys
from verl_coder.platform import put_off
put_off.install()
import tensordict
import torch._dynamo.symbolic_convert as one
import torch._dynamo.config, scipy.optimize._optimize
assert sys.modules["torch._dynamo.symbolic_convert"] is one is sys.modules["torch._dynamo"].symbolic_convert
assert type(sys.modules["torch._dynamo"]).__name__ == type(sys.modules["scipy.optimize"]).__name__ == "module"
assert one.__spec__.name == "torch._dynamo.symbolic_convert" and one.__spec__.origin.endswith("symbolic_convert.py")
assert one.InstructionTranslator is torch._dynamo.symbolic_convert.InstructionTranslator
print("once")
"""


def test_a_module_of_a_package_that_is_put_off_is_imported_once_and_behind_it() -> None:
    done = subprocess.run([sys.executable, "-c", _SUBMODULES], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stdout.split() == ["once"], done.stderr


_CROSSWISE = """
import sys, threading, time
from verl_coder.platform import put_off
sys.path.insert(0, sys.argv[1])
put_off.PATIENCE_S = 0.5
put_off._PUT_OFF["pack"] = {}
put_off.install()
import pack
threads = [
    threading.Thread(target=lambda: pack.value, daemon=True),
    threading.Thread(target=lambda: (time.sleep(0.2), __import__("pack.part")), daemon=True),
]
[thread.start() for thread in threads]
[thread.join(20) for thread in threads]
print([thread.is_alive() for thread in threads], pack.value, sys.modules["pack.part"].name)
"""


def test_threads_that_want_what_the_other_one_imports_do_not_wait_for_ever(tmp_path: Path) -> None:
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack/__init__.py").write_text(
        "import time\ntime.sleep(0.6)\nfrom pack import part\nvalue = 1\n"
    )
    (tmp_path / "pack/part.py").write_text("from pack import other\nname = 'part'\n")
    (tmp_path / "pack/other.py").write_text("")
    done = subprocess.run(
        [sys.executable, "-c", _CROSSWISE, str(tmp_path)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "[False, False] 1 part", done.stderr
