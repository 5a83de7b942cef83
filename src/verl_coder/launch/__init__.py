"""Outside Ray: from a command line to a checked plan, a supervised run, and what it came to."""
