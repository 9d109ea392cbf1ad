"""Tests of the flow-map core: identities on exact fields, mutants, and small trainings."""
