"""What a network is trained for: losses, predictions and numbers of a batch."""
