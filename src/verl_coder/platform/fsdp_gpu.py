"""`actor_rollout_ref.model.external_lib` on GPUs: what verl takes from flash-attn, of PyTorch's own parts."""

import verl_coder.platform.log_probs
import verl_coder.platform.packed_attention  # noqa: F401  (both by being imported)
