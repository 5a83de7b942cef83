"""What runs inside the sandbox: standard library only, held by the sandbox or sent along with a request (see bundle.py)."""
