"""Benchmarks: measurements that print tables and draw pictures; they never gate a build."""
