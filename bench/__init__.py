"""The benchmark: Leveret and its peers side by side, in one run. See `bench/README.md`."""
