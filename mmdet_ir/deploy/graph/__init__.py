"""A detector as a graph that other runtimes can hold."""
