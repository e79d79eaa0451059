"""An emulator of Pinecone, for tests on a machine without it. It is ours, not the vendor's.

It is as strict as what is known of the service (API 2026-07), and stricter where that is not known:
what passes here makes no more of the service than is documented. It proves our calls, mapping,
paging, errors and waiting; it does not prove what the service does. For that the same suite runs
against the service itself (`pytest -m live`).

    python -m memplane_adapters.pinecone.emulator --directory DIRECTORY --port 5080

serves control plane and data plane on one port: an index has the host "http://HOST:PORT/data/NAME".

What is written becomes visible late: reads show a namespace as it was `--lag` writes ago, and each
read that is answered moves that on by one write. So nothing here depends on a clock, and who reads
without waiting for what it wrote is wrong every time, not now and then.

`POST /emulator` sets faults for what comes next (see `faults`).
"""
