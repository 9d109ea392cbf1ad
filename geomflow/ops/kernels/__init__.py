"""Warp kernels of the ops: one source for CPU and CUDA, imported only when a kernel is wanted."""
