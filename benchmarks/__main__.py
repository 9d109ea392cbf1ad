"""All benchmark tables that need no dataset: `make bench`."""

from benchmarks import flow_cost, geometry

if __name__ == "__main__":
    geometry.main()
    flow_cost.main()
