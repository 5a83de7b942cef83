"""What lets verl run without a GPU: a verl platform plugin and a vLLM worker extension. Inert on a GPU."""
