"""Resource limits of a program's process; hard limits, so that nothing inside can raise them."""

import resource

_MB = 1 << 20


def apply_fixed_limits(*, file_mb: int) -> None:
    """Limits that do not depend on the request."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_mb * _MB, file_mb * _MB))
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, 512))
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
    resource.setrlimit(resource.RLIMIT_MSGQUEUE, (0, 0))
    resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))


def apply_process_limit(processes: int) -> None:
    """Processes and threads of the user that this process is."""
    resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))


def apply_request_limits(*, address_space: int, cpu_s: int) -> None:
    """Limits of one request, in bytes and seconds; 0 leaves a limit as it is."""
    if address_space:
        resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))
    if cpu_s:
        # SIGXCPU first, SIGKILL a second later.
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
