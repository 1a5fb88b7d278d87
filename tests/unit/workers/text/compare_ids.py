# SPDX-License-Identifier: Apache-2.0
"""Compares ids with transformers': tools/oracle compare_ids.py tokenizer.json NARRATIVES.

NARRATIVES holds records of little-endian u32: subject number, number of phrases, index of each phrase's
first id, bytes of the text, the text, number of ids, the ids. Prints numbers only, never text.
"""
import array
import bisect
import struct
import sys

from transformers import PreTrainedTokenizerFast


def records(data):
    at = 0

    def number():
        nonlocal at
        at += 4
        return struct.unpack_from("<I", data, at - 4)[0]

    def numbers():
        nonlocal at
        values = array.array("I")
        count = number()
        values.frombytes(data[at : at + 4 * count])
        at += 4 * count
        return values.tolist()

    while at < len(data):
        subject = number()
        phrases = numbers()
        size = number()
        text = data[at : at + size].decode()
        at += size
        yield subject, phrases, text, numbers()


def main():
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=sys.argv[1])
    with open(sys.argv[2], "rb") as file:
        data = file.read()
    compared = differing = 0
    for subject, phrases, text, ids in records(data):
        compared += 1
        expected = tokenizer.encode(text, add_special_tokens=False)
        if expected == ids:
            continue
        differing += 1
        pairs = zip(expected, ids)
        first = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(expected), len(ids)))
        if differing <= 5:
            print(f"narrative {subject}: first difference in phrase {bisect.bisect_right(phrases, first) - 1}")
    print(f"{compared} narratives compared, {differing} differ")
    return 1 if differing or not compared else 0


if __name__ == "__main__":
    sys.exit(main())
