"""The way to another verl, vLLM or Ray: every touch of them, found in the source, and what each must stay like."""
