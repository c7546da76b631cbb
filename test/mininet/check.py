"""Checks: each prints one line; a failed one says everything that helps to understand it."""

import os
import sys
import time
import traceback

from traffic import compare

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "out")


class Checks:
    """Counts checks and prints them. report() is called for the first failure of each scenario."""

    def __init__(self, report):
        self.passed = self.failed = 0
        self.scenario = ""
        self.report, self._reported = report, False

    def begin(self, scenario):
        self.scenario, self._reported = scenario, False

    def that(self, what, ok, detail=""):
        """One check: what should be true, and whether it is."""
        if ok:
            self.passed += 1
            print(f"ok   {self.scenario}: {what}", flush=True)
            return True
        self.failed += 1
        print(f"FAIL {self.scenario}: {what}", flush=True)
        if detail:
            print("     " + str(detail).replace("\n", "\n     "), flush=True)
        self._explain(what, detail)
        return False

    def same(self, what, expected, got):
        """got holds exactly the frames of expected, each as often, byte for byte; and there are some."""
        difference = compare(expected, got)
        if not difference and not expected:
            return self.that(what, False, "no frame was expected and none came: this proves nothing")
        return self.that(f"{what} ({len(expected)} frames)", not difference, difference)

    def none(self, what, got):
        """No frame at all."""
        return self.that(what, not got, compare([], got))

    def equal(self, what, want, got):
        return self.that(what, want == got, f"want {want!r}\ngot  {got!r}")

    def crashed(self, error):
        """A scenario ended by an exception."""
        text = "".join(traceback.format_exception(error))
        self.that(f"runs to its end: {type(error).__name__}", False, text)

    def _explain(self, what, detail):
        text = self.report()
        os.makedirs(OUT, exist_ok=True)
        path = os.path.join(OUT, f"{self.scenario}-{time.strftime('%H%M%S')}-{os.getpid()}-{self.failed}.txt")
        with open(path, "w") as f:
            f.write(f"{self.scenario}: {what}\n{detail}\n\n{text}")
        if self._reported:
            print(f"     the switches and the log then: {path}", flush=True)
            return
        self._reported = True
        sys.stdout.write("".join(f"     | {line}\n" for line in text.splitlines()))
        print(f"     (also in {path})", flush=True)
