"""vLLM's engine and its one worker in one process, for the CPU.

verl asks for vLLM's executor of several processes. With one rank that is a second process which imports all of vLLM
again, and two messages between them for each token of a batch; a model of a million parameters spends more on these
than on its arithmetic. vLLM itself refuses its executor `uni` on the CPU, since it cannot bind OpenMP's threads to
cores there; a run leaves them unbound (`VLLM_CPU_OMP_THREADS_BIND=nobind`), so nothing is lost.
"""

from vllm.v1.executor.uniproc_executor import UniProcExecutor

from verl_coder.platform.threads import use_threads_for


class OneProcessExecutor(UniProcExecutor):
    """Named by `actor_rollout_ref.rollout.engine_kwargs.vllm.distributed_executor_backend`; one rank only."""

    def _init_executor(self) -> None:
        """As vLLM's; ValueError with more than one rank."""
        ranks = self.parallel_config.world_size
        if ranks != 1:
            raise ValueError(
                f"{ranks} ranks a replica do not fit into one process: set "
                "actor_rollout_ref.rollout.engine_kwargs.vllm.distributed_executor_backend=mp"
            )
        super()._init_executor()
        model = self.driver_worker.get_model()
        use_threads_for(sum(weight.nbytes for weight in model.parameters()))
