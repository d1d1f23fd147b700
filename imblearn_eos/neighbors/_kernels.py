"""Compiled loops for the CPU, where numba is installed.

torch cannot look at one number and then decide whether to keep it. These loops do that. To prepare
rows they need no copies, unlike torch.
"""

import math
import os
import threading
from contextlib import contextmanager
from functools import cache

import numba
import numpy as np
import torch

from imblearn_eos.neighbors._base import LEAST_EXPONENT

# numba's threads must not be used by two threads of Python at once with every threading layer.
# Loops may prepare rows, which other loops do.
_lock = threading.RLock()
_is_usable = True
# Scores of which only the least takes part in the guess of a limit.
COLUMNS_AT_ONCE = 16
# A word has eight flags, a byte each, the first in its lowest byte. If only one is set, its number
# is the highest byte of the product of the word and this one.
FLAGS_IN_WORD, FLAG_NUMBERS = 8, np.uint64(0x0001020304050607)
# After so many, limits are drawn together to where there are scores.
BISECTIONS = 24
# Rows are summed up in so many parts, or in parts of so many rows.
MOST_CHUNKS, LEAST_ROWS = 64, 1024
# All bits but that of the sign, and that bit.
LARGEST_INT32, SIGN = 0x7FFFFFFF, 0x80000000


def _after_fork():
    """Turn the loops off in a forked process, where GNU OpenMP would end it."""
    global _lock, _is_usable
    _lock = threading.RLock()
    try:
        _is_usable = numba.threading_layer() != "omp"
    except ValueError:
        # The parent has not started numba's threads, with this package or otherwise.
        _is_usable = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def is_usable():
    """Return whether the loops can run: False in some processes forked after they ran."""
    return _is_usable


@cache
def _start_threads():
    """Start numba's threads, without an effect on torch's.

    This sets the number of OpenMP's threads to all cores, for the thread of Python that does it.
    torch reads the same number, so it is set in a thread that ends at once.
    """
    thread = threading.Thread(target=numba.get_num_threads)
    thread.start()
    thread.join()


@contextmanager
def torch_threads():
    """Use as many threads as torch does."""
    with _lock:
        _start_threads()
        before = numba.get_num_threads()
        numba.set_num_threads(min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS))
        try:
            yield
        finally:
            numba.set_num_threads(before)


@numba.njit(parallel=True, nogil=True, cache=True)
def centre_and_scale(rows):
    """Return what ``CoarseRows`` subtracts from rows, and multiplies them with then."""
    n_rows, n_features = rows.shape
    # Of so many rows each that there are never many sums.
    n_at_once = max(LEAST_ROWS, -(-n_rows // MOST_CHUNKS))
    n_chunks = -(-n_rows // n_at_once)
    sums, largest = np.zeros((n_chunks, n_features)), np.zeros((n_chunks, n_features))
    for chunk in numba.prange(n_chunks):
        for row in range(n_at_once * chunk, min(n_at_once * (chunk + 1), n_rows)):
            for feature in range(n_features):
                sums[chunk, feature] += rows[row, feature]
    centre = np.zeros(n_features)
    for chunk in range(n_chunks):
        for feature in range(n_features):
            centre[feature] += sums[chunk, feature]
    for feature in range(n_features):
        centre[feature] /= n_rows
    for chunk in numba.prange(n_chunks):
        for row in range(n_at_once * chunk, min(n_at_once * (chunk + 1), n_rows)):
            for feature in range(n_features):
                size, before = abs(rows[row, feature] - centre[feature]), largest[chunk, feature]
                # Unlike ``max``, for several features at a time.
                largest[chunk, feature] = size if size > before else before
    return centre, 0.5 ** max(math.frexp(largest.max())[1], LEAST_EXPONENT)


@numba.njit(parallel=True, nogil=True, cache=True, fastmath={"reassoc"})
def make_coarse(rows, numbers, centre, inverse_scale, values, norms):
    """Centre, scale and round rows, and sum up their squares in float64.

    Parameters
    ----------
    rows : ndarray of shape (n_all, n_features), dtype=float32 or float64
    numbers : ndarray of shape (n_rows,), dtype=int64
    centre, inverse_scale
        As :func:`centre_and_scale` returns them.
    values : ndarray of shape (n_rows, n_features), dtype=float32
        Become the coarse rows of these numbers.
    norms : ndarray of shape (n_rows,), dtype=float32
        Become their squared lengths.
    """
    for i in numba.prange(len(numbers)):
        row, norm = rows[numbers[i]], 0.0
        for feature in range(len(centre)):
            value = np.float32((row[feature] - centre[feature]) * inverse_scale)
            values[i, feature] = value
            norm += value * value
        norms[i] = norm


@numba.njit(inline="always")
def _swap_order(bits):
    """Map the bits of a float32, as an int32, to an integer of the same order, or back."""
    return np.int32(bits ^ np.int32((bits >> np.int32(31)) & np.int32(LARGEST_INT32)))


@numba.njit(inline="always")
def _to_key(score):
    """Return an int32 of the same order. Unlike floats, the compiler compares several at once."""
    # Adding zero leaves no negative zero.
    return _swap_order(np.int32(np.float32(score + np.float32(0)).view(np.int32)))


@numba.njit(inline="always")
def _from_key(key):
    return np.float32(_swap_order(np.int32(key)).view(np.float32))


@numba.njit(cache=True)
def _minima_of_chunks(scores):
    """Return the least of each ``COLUMNS_AT_ONCE`` scores, of whole chunks only."""
    minima = np.empty(len(scores) // COLUMNS_AT_ONCE, np.float32)
    for chunk in range(len(minima)):
        least = np.float32(np.inf)
        # Of a constant length, for which the compiler compares several at once.
        for place in range(COLUMNS_AT_ONCE):
            # In this order, what is not a number is passed over.
            least = min(least, scores[COLUMNS_AT_ONCE * chunk + place])
        minima[chunk] = least
    return minima


# Called first by a loop with fast math, it and what it calls would be compiled with that, too.
@numba.njit(cache=True, fastmath=False)
def limits_around(scores, rank, most):
    """Return two limits: fewer than ``rank`` scores are below the first, not so the second.

    Only equal scores lie between them, or ``rank`` to ``most`` are below the second. If fewer than
    ``rank`` are finite, all that are, and no others, are below the second.
    """
    low, largest = range_between(scores, np.float32(-np.inf), np.float32(np.inf))
    while low < largest:
        high = np.nextafter(largest, np.float32(np.inf))
        # Bisected, because to count is several times as fast as to partition.
        for _ in range(BISECTIONS):
            middle = low * np.float32(0.5) + high * np.float32(0.5)
            n_below = count_below(scores, middle)
            if rank <= n_below <= most:
                return low, middle
            if n_below < rank:
                low = middle
            else:
                high = middle
        # Where scores differ by large factors, most halves were empty.
        before = low, largest
        low, largest = range_between(scores, low, high)
        if (low, largest) == before:
            break
    return low, np.nextafter(largest, np.float32(np.inf))


@numba.njit(cache=True)
def range_between(scores, low, high):
    """Return the least score that is not below one limit, and the largest below the other."""
    low_key, high_key = _to_key(low), _to_key(high)
    # What is not a number is beyond infinity, on either side.
    first, last = _to_key(-np.inf), _to_key(np.inf)
    least, largest = last, first
    for place in range(len(scores)):
        key = _to_key(scores[place])
        least = np.int32(min(least, key if key >= low_key else last))
        largest = np.int32(max(largest, key if key < high_key else first))
    return _from_key(least), _from_key(largest)


@numba.njit(cache=True)
def count_below(scores, limit):
    """Count the scores below a limit."""
    n_below = np.int32(0)
    for place in range(len(scores)):
        n_below += np.int32(scores[place] < limit)
    return n_below


@numba.njit(cache=True)
def find_between(scores, low, high, places):
    """Write the places of scores that are not below one limit and below the other, ascending."""
    n_found = 0
    for start in range(0, len(scores), COLUMNS_AT_ONCE):
        stop = min(start + COLUMNS_AT_ONCE, len(scores))
        if count_below(scores[start:stop], high) == count_below(scores[start:stop], low):
            continue
        for place in range(start, stop):
            if low <= scores[place] < high:
                places[n_found] = place
                n_found += 1


@numba.njit(parallel=True, nogil=True, cache=True)
def guess_limits(scores, n_expected, limits):
    """Guess scores of each query below which there are more than are wanted, from a sample.

    Parameters
    ----------
    scores : ndarray of shape (n_queries, n_rows), dtype=float32
        Scores of the sample.
    n_expected : float
        How many of those that are wanted a sample has, on average.
    limits : ndarray of shape (n_queries,), dtype=float32
        Becomes the guesses; infinite where too few scores of the sample are finite.
    """
    # Fewer than are wanted are below in one of a thousand samples.
    rank = int(n_expected + 3 * math.sqrt(n_expected)) + 2
    for i in numba.prange(len(scores)):
        limit = limits_around(scores[i], rank, rank)[1]
        limits[i] = limit if count_below(scores[i], limit) >= rank else np.inf


@numba.njit(cache=True)
def _guess_limit(scores, n_kept):
    """Guess a score that is above ``n_kept`` of many scores, or a little more."""
    if len(scores) < 4 * n_kept:
        return np.float32(np.inf)
    # So many minima are of as many scores, or more. Of fewer minima, too many scores are below.
    if 3 * (len(scores) // COLUMNS_AT_ONCE) >= 4 * n_kept:
        scores = _minima_of_chunks(scores)
    # To look for a lower limit takes longer than to select among a few more.
    return limits_around(scores, n_kept, n_kept + n_kept // 2)[1]


@numba.njit(inline="always")
def flag_between(scores, low, high, flags):
    """Set a flag for each score that is not below one limit and is below the other."""
    for column in range(len(scores)):
        flags[column] = (scores[column] >= low) & (scores[column] < high)


@numba.njit(inline="always")
def take_flag(word):
    """Return the number of a word's first flag, and the word without it."""
    lowest = word & (~word + np.uint64(1))
    return np.int64((lowest * FLAG_NUMBERS) >> np.uint64(56)), word ^ lowest


@numba.njit(cache=True)
def _flag_below(scores, limit, flags):
    for column in range(len(scores)):
        flags[column] = scores[column] < limit


@numba.njit(cache=True)
def _cut(scores, rows, n_kept):
    """Move the ``n_kept`` smallest scores to the front, in their order; return the least other."""
    low, high = limits_around(scores, n_kept, n_kept)
    # Of those between the limits, any may stay.
    n_between = n_kept - count_below(scores, low)
    place, least = 0, np.float32(np.inf)
    for i in range(len(scores)):
        score, row = scores[i], rows[i]
        is_between = low <= score < high
        is_kept = score < low or (is_between and n_between > 0)
        n_between -= is_between
        least = least if is_kept else min(least, score)
        scores[place], rows[place] = score, row
        place += is_kept
    return least


@numba.njit(cache=True)
def _offer_line(scores, first, n_kept, kept_scores, kept_rows, count, limit):
    """Keep scores below a limit, which falls where there is no room for more."""
    # Eight flags are read at once, and those that are set are found without a branch for each.
    words = np.zeros(-(-len(scores) // FLAGS_IN_WORD), dtype=np.uint64)
    flags = words.view(np.uint8)
    _flag_below(scores, limit, flags)
    for place in range(len(words)):
        if words[place] == np.uint64(0):
            continue
        if count + FLAGS_IN_WORD > len(kept_scores):
            limit = min(limit, _cut(kept_scores[:count], kept_rows[:count], n_kept))
            count = n_kept
            start = FLAGS_IN_WORD * place
            _flag_below(scores[start:], limit, flags[start:])
        word = words[place]
        while word != np.uint64(0):
            flag, word = take_flag(word)
            column = FLAGS_IN_WORD * place + flag
            kept_scores[count], kept_rows[count] = scores[column], first + column
            count += 1
    return count, limit


@numba.njit(parallel=True, nogil=True, cache=True)
def keep_smallest(scores, own, first, n_kept, kept_scores, kept_rows, counts, limits):
    """Keep the smallest of many scores for each query by a threshold, at least ``n_kept``.

    Parameters
    ----------
    scores : ndarray of shape (n_queries, n_rows), dtype=float32
    own : ndarray of shape (n_queries,), dtype=int64
        A row that is not kept, or -1. Its score becomes infinite.
    first : int
        The row of the first column.
    n_kept : int
    kept_scores : ndarray of shape (n_queries, n_places), dtype=float32
        What was kept so far, in the order of rows; updated. There are at least
        ``n_kept + FLAGS_IN_WORD`` places.
    kept_rows : ndarray of shape (n_queries, n_places), dtype=int32
        Their rows; updated.
    counts : ndarray of shape (n_queries,), dtype=int64
        How many are kept so far; updated.
    limits : ndarray of shape (n_queries,), dtype=float32
        Later scores at least as large are not kept, and nothing smaller was left out; updated. At
        first infinity, or a guess, with which too few may be kept.
    """
    for i in numba.prange(len(scores)):
        counts[i], limits[i] = keep_line(
            scores[i], own[i], first, n_kept, kept_scores[i], kept_rows[i], counts[i], limits[i]
        )


@numba.njit(cache=True)
def keep_line(line, own, first, n_kept, kept_scores, kept_rows, count, limit):
    """Keep the smallest scores of one query, as :func:`keep_smallest`; return count and limit."""
    if first <= own < first + len(line):
        line[own - first] = np.inf
    is_guess = count == 0 and limit == np.inf
    if is_guess:
        limit = _guess_limit(line, n_kept)
    count, limit = _offer_line(line, first, n_kept, kept_scores, kept_rows, count, limit)
    if is_guess and count < n_kept:
        limit = np.float32(np.inf)
        count, limit = _offer_line(line, first, n_kept, kept_scores, kept_rows, 0, limit)
    return count, limit


@numba.njit(cache=True)
def _sort_by_bytes(keys, rows, other_keys, other_rows):
    """Sort keys in place, and rows with them; equal keys stay as they stand.

    Parameters
    ----------
    keys : ndarray of shape (n_keys,), dtype=uint32
    rows : ndarray of shape (n_keys,), dtype=int32
    other_keys, other_rows
        As these, or longer. Overwritten.
    """
    n_keys, n_smaller = len(keys), np.empty(256, np.int32)
    # One pass for each byte. Four passes end where they began.
    for shift in (np.uint32(0), np.uint32(8), np.uint32(16), np.uint32(24)):
        n_smaller[:] = 0
        for i in range(n_keys):
            n_smaller[(keys[i] >> shift) & np.uint32(0xFF)] += 1
        n_before = 0
        for byte in range(len(n_smaller)):
            n_before, n_smaller[byte] = n_before + n_smaller[byte], n_before
        for i in range(n_keys):
            byte = (keys[i] >> shift) & np.uint32(0xFF)
            place = n_smaller[byte]
            n_smaller[byte] += 1
            other_keys[place], other_rows[place] = keys[i], rows[i]
        keys, other_keys = other_keys, keys
        rows, other_rows = other_rows, rows


@numba.njit(parallel=True, nogil=True, cache=True)
def sort_kept(kept_scores, kept_rows, counts, limits, lengths, rows, estimates):
    """Sort the smallest scores that :func:`keep_smallest` kept, equal ones by row.

    Parameters
    ----------
    kept_scores, kept_rows, counts, limits
        As :func:`keep_smallest` leaves them; overwritten, and limits updated.
    lengths : ndarray of shape (n_queries,), dtype=float64
        What is added to the scores of each query.
    rows : ndarray of shape (n_queries, n_kept), dtype=int64
        Become the rows.
    estimates : ndarray of shape (n_queries, n_kept), dtype=float64
        Become the sums. Infinite where there are fewer.
    """
    n_queries, n_kept = rows.shape
    for i in numba.prange(n_queries):
        keys, other_keys = np.empty(n_kept, np.uint32), np.empty(n_kept, np.uint32)
        some, other_rows = np.empty(n_kept, np.int32), np.empty(n_kept, np.int32)
        count = counts[i]
        if count > n_kept:
            least = _cut(kept_scores[i, :count], kept_rows[i, :count], n_kept)
            limits[i] = min(limits[i], least)
            count = n_kept
        for place in range(count):
            # Of the same order, without a sign.
            keys[place] = np.uint32(_to_key(kept_scores[i, place])) ^ np.uint32(SIGN)
            some[place] = kept_rows[i, place]
        _sort_by_bytes(keys[:count], some[:count], other_keys, other_rows)
        for place in range(count):
            score = _from_key(np.int32(keys[place] ^ np.uint32(SIGN)))
            rows[i, place], estimates[i, place] = some[place], score + lengths[i]
        # Found only where there are no others.
        rows[i, count:], estimates[i, count:] = 0, np.inf
