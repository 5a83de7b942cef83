"""`python -m verl_coder` is `verl-coder`."""

from verl_coder.cli import main

if __name__ == "__main__":
    main()
