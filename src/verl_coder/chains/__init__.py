"""Chains of small functions, a family of problems on which state or a debugger pays; and a policy that shows it."""
