"""Whether the kernel's out-of-memory killer was at work: its victims are the machine's fault, not a program's."""

import collections
import time

_KEPT_SAMPLES = 4000


class OomWatch:
    """Remembers the kernel's count of such kills, sampled now and then."""

    def __init__(self) -> None:
        self._samples: collections.deque[tuple[float, int]] = collections.deque(maxlen=_KEPT_SAMPLES)
        self.sample()

    def sample(self) -> int:
        """Read the counter; 0 where the kernel has none."""
        count = _kills()
        self._samples.append((time.monotonic(), count))
        return count

    def killed_since(self, moment: float) -> bool:
        """Whether any process of the machine was a victim since `moment` (of time.monotonic)."""
        before = [count for at, count in self._samples if at <= moment]
        known = before[-1] if before else self._samples[0][1]
        return self.sample() > known


def _kills() -> int:
    try:
        with open("/proc/vmstat") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("oom_kill ")), 0)
    except OSError:
        return 0
