"""What tests of several rooms share: small worlds, models, data, processes."""
