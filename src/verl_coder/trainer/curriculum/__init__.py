"""Stages of problems: when each begins, in which order its problems come, and how the trainer follows it."""
