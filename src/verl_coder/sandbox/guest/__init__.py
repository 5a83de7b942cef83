"""Code that runs on the sandbox's side: the zygote, the keeper of each slot, and what runs in a program's process."""
