"""`verl-coder doctor`: everything that a run needs, tried before one is started; README.md lists the checks."""
