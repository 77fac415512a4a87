"""``cmkd infer`` and ``cmkd search``: what a student says of files, and the nearest clips.

``sources`` finds the files, ``reading`` decodes them in threads and predicts, ``output`` prints,
``index`` keeps embeddings and searches them, ``job`` is what the two commands share.
"""

from cmkd.infer.index import EmbeddingIndex, student_fingerprint
from cmkd.infer.reading import predict_ahead
from cmkd.infer.sources import find_sources

__all__ = ["EmbeddingIndex", "find_sources", "predict_ahead", "student_fingerprint"]
