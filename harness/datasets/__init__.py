"""Prompts and conversations that somebody else wrote: checked whole before load, read bit by bit while it runs.

    open_dataset ─► form      what kind of file this is
                 ├─► lines, arrays       where its entries begin and end
                 ├─► jsonl, sharegpt     what one entry says
                 ├─► images              that its images are there
                 └─► Dataset             how many there are and where; one pass over them, in order
    Stream       ─► Dataset, images      a thread that reads ahead; hands out entries at once

A dataset may be larger than memory: 8 bytes for each 1,024 entries are kept, or 12 for each one where the order is shuffled.
In a distributed run the master gives each worker its share as lines (`Dataset.share`), images and all; the
worker keeps them in a file and reads that in the same way (`from_lines`).
"""
