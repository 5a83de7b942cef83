"""What runs inside the sandbox: standard library only, sent along with each request (see bundle.py)."""
