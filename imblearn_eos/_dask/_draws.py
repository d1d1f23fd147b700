"""The draws of a sampler, block by block of synthetic rows.

The client draws once, to learn which rows are used and where in the stream of random numbers each
block begins; workers draw their blocks again. So no machine holds all draws.
"""

from typing import NamedTuple

import numpy as np
from sklearn.utils import check_random_state

from imblearn_eos._dask._enemies import LaterEnemies
from imblearn_eos._enemies import Enemies, draw


class Table(NamedTuple):
    """What the synthetic rows of one class are drawn from.

    Attributes
    ----------
    counts : ndarray of shape (n_bases,), dtype=int64
        The number of enemies of each base.
    used : ndarray of shape (n_used,), dtype=int64
        The positions of bases that are drawn, ascending.
    enemies : Enemies
        Of these bases. Instead of row numbers, it has places in the ends of :class:`Plan`; that of
        an enemy that is never drawn is 0.
    """

    counts: np.ndarray
    used: np.ndarray
    enemies: Enemies


class Piece(NamedTuple):
    """Synthetic rows of one class in one block.

    Attributes
    ----------
    code : int
        The class.
    n_rows : int
    states : list of tuple
        Where the bases, the enemies and the steps begin: states of a RandomState. Only the first if
        the piece has all rows of the class, because then one follows the other.
    """

    code: int
    n_rows: int
    states: list


class Plan(NamedTuple):
    """All synthetic rows.

    Attributes
    ----------
    tables : dict of int to Table
        By class.
    blocks : list of list of Piece
        All blocks but the last have the same number of rows.
    ends : ndarray of shape (n_ends,), dtype=int64
        The numbers of the rows that are drawn as bases or enemies, ascending.
    """

    tables: dict
    blocks: list
    ends: np.ndarray


def plan_draws(sampler, search, classes, block_rows):
    """Draw all synthetic rows, in blocks of some rows; return a Plan.

    Parameters
    ----------
    sampler : EOS
        Has ``sampling_strategy_``.
    search : BlockEnemySearch
    classes : ndarray of shape (n_classes,)
    block_rows : int
    """
    random_state = check_random_state(sampler.random_state)
    walks, blocks, start = [], {}, 0
    for code, n_rows, enemies in sampler._plan(search, classes):
        stop = start + n_rows
        of_next = start - start % block_rows + block_rows
        starts = [start, *range(of_next, stop, block_rows)]
        sizes = np.diff([*starts, stop]).tolist()
        states, used, is_drawn = _walk(enemies.counts, sizes, random_state)
        walks.append((code, enemies, used, is_drawn))
        for first, size, of_piece in zip(starts, sizes, states, strict=True):
            blocks.setdefault(first // block_rows, []).append(Piece(code, size, of_piece))
        start = stop
    # All classes at once, when it is known which bases are drawn.
    found = search.search_nearest(
        {code: used for code, enemies, used, _ in walks if isinstance(enemies, LaterEnemies)}
    )
    tables, ends = [], [np.empty(0, np.int64)]
    for code, enemies, used, is_drawn in walks:
        is_used = np.zeros(len(enemies.counts), dtype=bool)
        is_used[used] = True
        is_of_used = np.repeat(is_used, enemies.counts)
        table = found.get(code)
        if table is None:
            rows = enemies.rows[is_of_used]
            table = Enemies(enemies.bases[is_used], enemies.counts[is_used], rows)
        is_drawn = is_drawn[is_of_used]
        tables.append((table, is_drawn))
        ends += table.bases, table.rows[is_drawn]
    ends = np.unique(np.concatenate(ends))
    tables = {
        code: Table(enemies.counts, used, _placed(*table, ends))
        for (code, enemies, used, _), table in zip(walks, tables, strict=True)
    }
    return Plan(tables, list(blocks.values()), ends)


def _placed(table, is_drawn, ends):
    """Replace row numbers by places in the ends."""
    rows = np.zeros_like(table.rows)
    rows[is_drawn] = np.searchsorted(ends, table.rows[is_drawn])
    return Enemies(np.searchsorted(ends, table.bases), table.counts, rows)


def _walk(counts, sizes, random_state):
    """Draw as :func:`imblearn_eos._enemies.draw` does, in pieces.

    Returns
    -------
    states : list of list of tuple
        As in :class:`Piece`.
    used : ndarray of shape (n_used,), dtype=int64
        Positions of bases that were drawn, ascending.
    is_drawn : ndarray of shape (sum of counts,), dtype=bool
        Which enemies were drawn, base by base.
    """
    starts = counts.cumsum() - counts
    is_drawn = np.zeros(counts.sum(), dtype=bool)
    again = _restored(random_state.get_state())
    for_bases, for_enemies, for_steps = [], [], []
    for n_rows in sizes:
        for_bases.append(random_state.get_state())
        random_state.randint(len(counts), size=n_rows)
    for n_rows in sizes:
        for_enemies.append(random_state.get_state())
        base = again.randint(len(counts), size=n_rows)
        is_drawn[starts[base] + random_state.randint(counts[base])] = True
    for n_rows in sizes:
        for_steps.append(random_state.get_state())
        random_state.uniform(size=n_rows)
    used = np.unique(np.searchsorted(starts, np.flatnonzero(is_drawn), side="right") - 1)
    if len(sizes) == 1:
        return [for_bases], used, is_drawn
    return list(map(list, zip(for_bases, for_enemies, for_steps, strict=True))), used, is_drawn


def _restored(state):
    random_state = np.random.RandomState()
    random_state.set_state(state)
    return random_state


# --- in tasks -------------------------------------------------------------------------------------


def draw_again(tables, *, pieces, max_step):
    """Return the bases and the enemies of one block of synthetic rows, as places, and the steps.

    Parameters
    ----------
    tables : list of Table
        Of the class of each piece.
    pieces : list of Piece
    max_step : float
    """
    drawn = []
    for table, (_, n_rows, states) in zip(tables, pieces, strict=True):
        streams = list(map(_restored, states))
        streams = streams if len(streams) == 3 else streams * 3
        base, enemy, steps = draw(table.counts, n_rows, max_step, *streams)
        place = np.empty(len(table.counts), dtype=np.int64)
        place[table.used] = np.arange(len(table.used))
        drawn.append((*table.enemies.pick(place[base], enemy), steps))
    return tuple(map(np.concatenate, zip(*drawn, strict=True)))
