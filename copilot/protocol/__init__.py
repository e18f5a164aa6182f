"""The words and rules of the wire, without I/O: no socket, no loop, no clock."""
