"""Where jobs come from and who gets their results: the ports, the generic ones, and the adapters to other systems."""
