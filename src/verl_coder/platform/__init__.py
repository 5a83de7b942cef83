"""What verl needs on a machine: without a GPU a platform and a vLLM extension, without flash-attn its parts."""
