"""`actor_rollout_ref.model.external_lib` on GPUs: what verl takes from flash-attn, of PyTorch's own parts.

And logits where tokens are trained only (`shared_prefix.py`; the rest of that module is for a CPU), and of a batch the
columns with numbers only (`worker_columns.py`), and of an update the rows that have a gradient (`gradient_rows.py`).
"""

import verl_coder.platform.gradient_rows
import verl_coder.platform.log_probs
import verl_coder.platform.lora_seed
import verl_coder.platform.packed_attention
import verl_coder.platform.shared_prefix
import verl_coder.platform.worker_columns  # noqa: F401  (all by being imported)
