"""Of which models the logits need never stand in memory (`label_log_probs.py`), and how many do at a time."""

PLAIN_MODELS = frozenset(("llama", "mistral", "qwen2", "qwen3"))
"""`model_type` of those that give the output layer's product as logits: others scale it, or bend it."""
CHUNK_LOGITS = 1 << 25
"""Logits of one matrix product: 64 MB in bfloat16."""
