"""What each of Ray's workers does before its first task: `config/base.yaml` names it as `worker_process_setup_hook`."""

from verl_coder.platform import collector, put_off


def begin() -> None:
    """Look through verl's modules for garbage once; import PyTorch's compiler only where something is compiled."""
    collector.watch()
    put_off.install_where_nothing_is_compiled()
