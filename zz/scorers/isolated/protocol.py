"""What host and worker say to each other: JSON lines over the worker's standard input and output.

To the worker, one line a picture:   {"id": 3, "picture": "/path.png", "prompt": "a red star"}
From the worker, in any order:       {"ready": {"hpsv2": "1.2.0"}}      once it can be asked
                                     {"alive": true}                    every second or so
                                     {"id": 3, "answer": 0.27}          any JSON value
                                     {"id": 3, "error": "why not"}      of this picture; the worker goes on

The end of its input ends the worker. This file needs nothing but Python 3.8, for workers import it in environments
where zz is not installed.
"""

import json
import os
import sys
import threading

BEAT = 1.0  # seconds between signs of life


def serve(load):
    """Be a worker: `load` returns (versions, answer), and `answer` is given each request and returns its answer.

    What packages print goes to standard error, so that nothing comes between the lines.
    """
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    lock, ended = threading.Lock(), threading.Event()

    def say(what):
        with lock:
            out.write(json.dumps(what) + "\n")
            out.flush()

    def beat():
        while not ended.wait(BEAT):
            say({"alive": True})

    threading.Thread(target=beat, daemon=True).start()
    versions, answer = load()
    say({"ready": versions})
    for line in sys.stdin:
        request = json.loads(line)
        try:
            say({"id": request["id"], "answer": answer(request)})
        except Exception as error:  # of one picture; the next may do
            say({"id": request["id"], "error": f"{type(error).__name__}: {error}".split("\n")[0]})
    ended.set()
