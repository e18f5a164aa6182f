"""A seccomp filter."""


def native_filter() -> bytes:
    return b""
