"""The demo on runners other than Beam's local one; `make test-runners`."""
