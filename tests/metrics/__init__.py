"""Tests of geomflow.metrics."""
