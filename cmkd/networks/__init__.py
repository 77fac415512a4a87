"""Encoders by modality, fusions, and the network that joins them."""
