"""``cmkd keys``: what every config key means, from the signatures and docstrings themselves.

``key`` reads one class, ``catalogue`` finds the classes that a config can name, ``page`` writes
them as Markdown (``experiments/KEYS.md``) and ``command`` prints one of them.
"""
