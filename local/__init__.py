"""The local stack: the real template, deployed into an AWS emulator on this machine."""
