"""How layers are computed on a CPU, where XLA's own way is often slow: formulations, and the plan that chooses."""
