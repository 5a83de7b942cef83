"""Traces to learn from: conversations that solve a problem, made by a teacher or from what is known without one."""
