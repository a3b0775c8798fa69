"""Examples as named arrays: "image", "label" and whatever else a task names, all with the example first."""
