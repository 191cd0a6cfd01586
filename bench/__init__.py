"""`make bench`: what a key set takes, side by side with other ways to make it."""
