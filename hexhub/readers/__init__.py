"""Reader processes: they accept connections beside the main process, and answer what is known.

A reader holds answers that the main process made, and no tables. Each is good while the numbers in
shared memory (`hexhub/marks.py`) stay as they were when it was made. A request that it does not
recognise, or whose answer it lacks, it does not parse: it passes the connection on to the main
process, with the bytes read so far, and gets it back when the main process is asked for something
that readers know.
"""
