"""The rooms that speak to models; each is imported by its own name, none with the package."""
