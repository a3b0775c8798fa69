"""Networks that tell what each pixel shows: a label a pixel."""
