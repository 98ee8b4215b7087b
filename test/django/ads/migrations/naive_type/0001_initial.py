from ads.initial import Migration  # noqa: F401
