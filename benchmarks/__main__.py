"""All benchmark tables that need no dataset: `make bench`."""

from benchmarks import geometry

if __name__ == "__main__":
    geometry.main()
