"""
Measurements of the daemon's speed and memory; ``make bench`` or ``python -m benchmarks``.

One module for each row of the table:

- :mod:`benchmarks.throughput`: (a) requests per second through the passthrough, beside nginx
- :mod:`benchmarks.latency`: (b) what the passthrough adds to one request
- :mod:`benchmarks.streams`: (c) many streams at once
- :mod:`benchmarks.claude`: (d) first tokens from the CLI
- :mod:`benchmarks.memory`: (e) memory at rest and after many requests
- :mod:`benchmarks.starts`: (f) first tokens of turns with functions or a history, beside plain ones
- :mod:`benchmarks.conversations`: (g) conversations and turns per second, and who needs the CPU for them

Around them: :mod:`benchmarks.machine` (cores, tools), :mod:`benchmarks.processes` (what is started, and what it uses),
:mod:`benchmarks.servers` (the daemon, nginx), :mod:`benchmarks.load` (wrk), :mod:`benchmarks.turns` (a client of Claude
Code), :mod:`benchmarks.report`. All load stays on loopback and is bounded in time.
"""
