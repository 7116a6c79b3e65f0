"""Everything for a send is loaded at the start, because file descriptors may run out later."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.process

ENCODE = """
import itertools, os, resource
import web.server
from appliance.messaging import outbox
from modem.sms import gsm7, tpdu
used = {int(name) for name in os.listdir("/proc/self/fd")}
resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
for text in ("Bonjour", "5 € [x]", "Привет", "😀" * 90, "x" * 400):
    plan = gsm7.plan(text, shifts=(1, 13))
    for number, part in enumerate(plan.parts, 1):
        together = tpdu.Concatenation(1, len(plan.parts), number) if len(plan.parts) > 1 else None
        tpdu.encode_submit(tpdu.Submit(recipient="+33612345678", text=part, alphabet=plan.alphabet,
                                       shift=plan.shift, concatenation=together))
"x.lan".encode("idna")
"""


def test_encoding_opens_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ENCODE], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
