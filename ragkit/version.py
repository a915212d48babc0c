"""Which version this is; a room may ask without opening the whole house."""

__version__ = "0.1.0"
