"""What runs inside the sandbox: standard library only, held there or sent along with a request (see bundle.py)."""
