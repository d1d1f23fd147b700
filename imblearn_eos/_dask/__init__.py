"""The same bits beyond one machine's memory, for Dask collections.

Imported only where one is seen. All work is in tasks that are pure functions of blocks of rows,
with names that depend on nothing else, so that a scheduler can repeat what a lost worker had.
Sums are folded in the order of the blocks, in a tree that does not depend on the workers.
Neighbors in different blocks are merged by squared distance and row number: in any order, the
result is the same.
"""

from imblearn_eos._extras import import_extra

import_extra("distributed", "dask")

from imblearn_eos._dask._neighbors import kneighbors, rows_to_search  # noqa: E402
from imblearn_eos._dask._over_sampling import fit_resample  # noqa: E402

__all__ = ["fit_resample", "kneighbors", "rows_to_search"]
