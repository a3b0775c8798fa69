"""Networks that tell what an image shows: one label an image."""
