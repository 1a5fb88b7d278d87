#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Counts a data set in the seed layout independently of our code, with the standard library alone.

usage: count_seed.py DATA_DIR CUTOFF_MONTHS
Prints one line a split: name subjects events cut_events. Only cases are cut (the seed's rule): an event is cut when its
time is not 0 and not before cancerdate (00:00 UTC) minus the months.
"""
import calendar
import csv
import datetime
import glob
import os
import pickle
import sys


def cutoff_seconds(date, months):
    day = datetime.date.fromisoformat(date[:10])
    month = day.year * 12 + day.month - 1 - months
    year, month = divmod(month, 12)
    month += 1
    last = calendar.monthrange(year, month)[1]
    moment = datetime.datetime(year, month, min(day.day, last), tzinfo=datetime.timezone.utc)
    return (moment - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)).total_seconds()


def main():
    root, months = sys.argv[1], int(sys.argv[2])
    cuts = {}
    with open(os.path.join(root, "labels.csv"), newline="", encoding="utf-8-sig") as file:
        for row in csv.DictReader(file):
            if row["is_case"] == "1":
                cuts[int(row["subject_id"])] = cutoff_seconds(row["cancerdate"], months)
    for split in ("train", "tuning", "held_out"):
        subjects = events = cut_events = 0
        for path in sorted(glob.glob(os.path.join(root, split, "*.pkl"))):
            with open(path, "rb") as file:
                for subject in pickle.load(file):
                    subjects += 1
                    events += len(subject["tokens"])
                    cut = cuts.get(subject["subject_id"])
                    if cut is not None:
                        cut_events += sum(1 for t in subject["timestamps"] if t != 0 and not t < cut)
        print(split, subjects, events, cut_events)


if __name__ == "__main__":
    main()
