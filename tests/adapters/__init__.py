"""The plug-ins inside the real trainers, each in an environment of its own: `make adapters`."""
