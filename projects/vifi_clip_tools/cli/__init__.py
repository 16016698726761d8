"""The command line: its commands, its options, and how it ends."""
