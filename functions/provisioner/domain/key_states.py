"""What is true of key states.

https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html
"""

PENDING_DELETION_STATES = ("PendingDeletion", "PendingReplicaDeletion")
"""States of a key that is scheduled for deletion."""
MOVING_STATES = ("Creating", "Updating")
"""States that pass by themselves: of a key that is being made, or that changes its role."""
