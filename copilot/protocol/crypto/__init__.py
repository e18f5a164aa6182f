"""What is signed and sealed, and with which keys. Only secure mode imports it, and only it knows `cryptography`."""
