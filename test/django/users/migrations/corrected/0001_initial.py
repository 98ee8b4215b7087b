from users.initial import Migration  # noqa: F401
