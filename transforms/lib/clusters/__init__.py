"""k-means with centroids that are the same bytes everywhere, exact nearest centroids, and files of vectors.

Imports: ``stats``; torch only in ``nearest_torch``. Start reading at ``kmeans``.
"""
