"""Fixtures shared by all tests. Everything runs offline, on the CPU platform."""

from verl_coder.platform.environment import select_cpu_platform

select_cpu_platform()
