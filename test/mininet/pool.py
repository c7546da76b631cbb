"""Several labs at once: worker processes with a lab each, which are given one story after another.

A lab is idle most of its time: it waits for frames, for changes to be in force, for silence. The
stories of one lab know nothing of another's, whose switches are in other namespaces.

A worker is run.py --worker. It reads a story's name a line from its standard input, and ends what
it prints about each, and about the start of its lab, with a line of END and two counts. Its lab
goes when its standard input ends, also when that is because its parent died.
"""

import collections
import contextlib
import subprocess
import threading

END = "\x1e"


class Pool:
    """Runs stories in at most `jobs` labs at once; (passed, failed) are the counts so far."""

    def __init__(self, command, jobs):
        """command(kind) is the command line of a worker whose lab is of a kind."""
        self.passed = self.failed = 0
        self._command, self._jobs = command, jobs
        self._waiting = collections.defaultdict(list)  # kind of lab to stories, in order
        self._workers = {}  # thread to its worker
        self._lock = threading.Lock()  # guards all of these, and what is printed

    def run(self, stories):
        """Run (kind of lab, story) pairs and return when the last is over. Interrupted, it ends the labs first."""
        for kind, story in stories:
            self._waiting[kind].append(story)
        threads = [threading.Thread(target=self._work, name=f"lab {n}", daemon=True) for n in range(self._jobs)]
        try:
            for t in threads:
                t.start()
            for t in threads:
                t.join()
        except BaseException:
            with self._lock:
                self._waiting.clear()
                for worker in self._workers.values():
                    worker.process.terminate()
            for t in threads:
                t.join()
            raise

    def _work(self):
        me, worker = threading.current_thread(), None
        while True:
            with self._lock:
                kind = self._next(worker)
                story = self._waiting[kind].pop(0) if kind else None
            if worker and (worker.kind != kind or worker.over):
                worker.end()
                worker = None
            if not story:
                return
            if not worker:
                worker = Worker(kind, self._command(kind))
                with self._lock:
                    self._workers[me] = worker
                self._tell(worker, f"a lab of {' '.join(kind)}", worker.answer())
            if not worker.over:
                self._tell(worker, story, worker.ask(story))

    def _next(self, worker):
        """The kind of lab of the next story: that of the worker's lab, else the one with the fewest labs."""
        left = [t for t, stories in self._waiting.items() if stories]
        if worker and not worker.over and worker.kind in left:
            return worker.kind
        others = collections.Counter(w.kind for w in self._workers.values() if w is not worker)
        return min(left, key=lambda t: others[t], default=None)

    def _tell(self, worker, what, answer):
        text, passed, failed = answer
        with self._lock:
            self.passed += passed
            self.failed += failed
            print(text, end="", flush=True)
            if worker.over and self._waiting:
                self.failed += 1
                print(f"FAIL {what}: its lab came to an end", flush=True)


class Worker:
    """A process with a lab."""

    def __init__(self, kind, command):
        self.kind, self.over = kind, False
        self._counts = 0, 0
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")

    def ask(self, story):
        """Have a story run; as answer."""
        with contextlib.suppress(OSError):
            self.process.stdin.write(story + "\n")
            self.process.stdin.flush()
        return self.answer()

    def answer(self):
        """What it prints about what it does now, and how many checks of it passed and failed."""
        lines = []
        for line in self.process.stdout:
            if line.startswith(END):
                counts = tuple(map(int, line[1:].split()))
                more = [now - then for now, then in zip(counts, self._counts)]
                self._counts = counts
                return "".join(lines), *more
            lines.append(line)
        self.over = True
        return "".join(lines), 0, 0

    def end(self):
        """Have it end its lab, and wait until that is gone."""
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
