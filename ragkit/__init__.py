"""ragkit: index code and documents, and answer questions over them."""

__version__ = "0.1.0"
