"""Support for tests of several packages: small worlds, models, data, processes."""
