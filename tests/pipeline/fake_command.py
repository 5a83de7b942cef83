"""A command of a task that only writes a file: `PARENT make TARGET TEXT [SOURCE...]`. OUT/starts has its beginnings.

With OUT/hold it waits until it is ended; OUT/fail makes it fail; OUT/ignore makes it deaf to SIGINT.
"""

import os
import signal
import sys
import time
from pathlib import Path

target, text, *sources = sys.argv[3:]
out = Path(os.environ["VERL_CODER_PIPELINE"])
with (out / "starts").open("a") as file:
    file.write(f"{Path(target).name} {os.getpid()}\n")
if (out / "ignore").exists():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
print(f"making {target}", flush=True)
if (out / "fail").exists():
    print("error: no room for it: make some", flush=True)
    sys.exit(1)
Path(target).parent.mkdir(parents=True, exist_ok=True)
while (out / "hold").exists() and (out / "hold").read_text() == Path(target).stem:
    Path(target).with_suffix(".half").touch()
    time.sleep(0.02)
Path(target).write_text(text + "".join(Path(source).read_text() for source in sources))
