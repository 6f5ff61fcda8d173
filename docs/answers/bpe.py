"""Answers to the exercises on bpe.py."""

from scratch.bpe import merge

# ot occurs three times: id 256. Then h[ot], [ot]e and el occur twice each. The ids of el, 101 and 108, are the lowest
# pair, since e comes before h, and [ot] has id 256. Then h[ot] and [ot][el] occur twice each, and h has the lower id.
# Now [hot], [ot][el] and all others occur once. In "lot", the l is no part of a learned pair.
hotel = {"learned": ["ot", "el", "hot"], "hotel": ["hot", "el"], "lot": ["l", "ot"]}


def encode(word, merges):
    ids = list(word)
    # A merge only creates pairs with its new id, which were learned later. So one pass in the order of learning is
    # enough: no earlier pair can appear again.
    for new_id, pair in enumerate(merges, start=256):
        ids = merge(ids, pair, new_id)
    return ids
