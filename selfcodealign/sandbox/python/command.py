"""The end of a script as `python FILE` ends: a traceback on stderr, and an exit status."""

from __future__ import annotations

import os
import sys
import traceback

from selfcodealign.sandbox.python.build import RESPONSE_FILE

_MOST_STATUS = 0xFF


def end_as_interpreter(raised: BaseException | None) -> int:
    """Tell on stderr what ended the script, and return the status with which the interpreter would exit."""
    status = 0
    try:
        if isinstance(raised, SystemExit):
            if raised.code is None or isinstance(raised.code, int):
                status = (raised.code or 0) & _MOST_STATUS
            else:
                status = 1
                print(raised.code, file=sys.stderr)
        elif raised is not None:
            status = 1
            trace = raised.__traceback__
            while trace is not None and trace.tb_frame.f_code.co_filename != RESPONSE_FILE:
                trace = trace.tb_next  # the harness's own frames
            traceback.print_exception(type(raised), raised, trace)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except BaseException:  # the script has replaced what is needed here
        os.write(2, f"{type(raised).__name__}\n".encode("utf-8", "replace"))
    return status
