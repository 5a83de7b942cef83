"""What keeps a program in: namespaces, root file system, seccomp, Landlock."""
