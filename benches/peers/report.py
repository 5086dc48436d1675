"""Turns the raw figures into the page docs/benchmarks.md."""

import statistics

MIB = 1024 * 1024
NOTES = """\
# Benchmarks

Written by `make bench` (`benches/peers/bench.py`); do not edit by hand. Compare only inside one table:
another machine, or the same on another day, gives other figures.

**How.** Tidegate is the binary of `make release`, the others are Debian's packages. One worker each, pinned to
core 0; load generator (`wrk`) and origin on core 1. Every proxy:
round robin over four ports of one origin, keep-alive to it, `X-Forwarded-For` added, Host kept. In each
round every proxy gets one sample, in turn; the table has medians over the rounds. *CPU µs/req* is the
scheduler's count of time on a CPU over the proxy's whole process tree (all threads of it: for
Tidegate also health, admin and log writing), divided by answered requests; user and system are split
by clock ticks. The fastest proxies leave core 1 saturated, so req/s and latency understate them: CPU
per request is the figure to read.

**Traps that are avoided.** TCP congestion control is set to cubic for the run (BBR paces on loopback).
Every port is proved free without `SO_REUSEPORT`, and after the start the kernel's table must show no
listener on it but the proxy's own. The origin's count of requests must agree with the load
generator's, but for those under way at the end; a sample with an error or a disagreement makes the
whole run fail.

**Ratio** is Tidegate's CPU per request over the other's in the same round: median [quartiles] of the
rounds. A bar that lies inside the quartiles counts as met. Ten rounds on a shared virtual machine
resolve differences of about 10 %, not less.
"""


def quartiles(values):
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def median(samples, key):
    return statistics.median(sample[key] for sample in samples)


def own(samples):
    """The name of Tidegate in a scenario, if it took part."""
    return next((name for name in samples if name.startswith("tidegate")), None)


def best_other(samples):
    others = [name for name in samples if not name.startswith("tidegate")]
    return min(others, key=lambda name: median(samples[name], "cpu_us"))


def ratios(samples, ours, other):
    """Paired by round."""
    return quartiles([
        mine["cpu_us"] / theirs["cpu_us"] for mine, theirs in zip(samples[ours], samples[other])
    ])


def table(samples):
    ours = own(samples)
    lines = [
        "| proxy | req/s | CPU µs/req | quartiles | user | system | p50 µs | p99 µs "
        "| core 0 / 1 busy | Tidegate ÷ this |",
        "|---|--:|--:|---|--:|--:|--:|--:|---|---|",
    ]
    for name, taken in samples.items():
        low, middle, high = quartiles([sample["cpu_us"] for sample in taken])
        ratio = ""
        if ours and name != ours:
            below, at, above = ratios(samples, ours, name)
            ratio = f"{at:.2f} [{below:.2f}–{above:.2f}]"
        lines.append(
            f"| {name} | {median(taken, 'rate'):.0f} | {middle:.1f} | {low:.1f}–{high:.1f} "
            f"| {median(taken, 'user_us'):.1f} | {median(taken, 'system_us'):.1f} "
            f"| {median(taken, 'p50_us'):.0f} | {median(taken, 'p99_us'):.0f} "
            f"| {median(taken, 'busy'):.2f} / {median(taken, 'load_busy'):.2f} | {ratio} |"
        )
    return lines


def verdicts(figures, scenarios):
    lines = [
        "| scenario | Tidegate µs/req | best other | ratio | bar | |", "|---|--:|---|---|--:|---|"
    ]
    for scenario in scenarios:
        samples = figures["samples"][scenario.name]
        if not (ours := own(samples)):
            continue
        other = best_other(samples)
        low, middle, high = ratios(samples, ours, other)
        bar, verdict = "", ""
        if scenario.target:
            bar = f"≤ {scenario.target:.2f}"
            verdict = "met" if low <= scenario.target else "**missed**"
        lines.append(
            f"| {scenario.title} | {median(samples[ours], 'cpu_us'):.1f} "
            f"| {other} {median(samples[other], 'cpu_us'):.1f} "
            f"| {middle:.2f} [{low:.2f}–{high:.2f}] | {bar} | {verdict} |"
        )
    return lines if len(lines) > 2 else []


def render(figures, scenarios):
    facts = figures["machine"]
    lines = [NOTES, "## The machine", ""]
    lines += [
        f"{facts['cpu']}, {facts['cores']} cores{' (virtual)' if facts['virtual'] else ''}, "
        f"{facts['memory_gib']} GiB, Linux {facts['kernel']} {facts['machine']}; "
        f"{figures['date']}; {figures['rounds']} rounds of {figures['seconds']} s. "
        f"Congestion control was {facts['congestion_before']} before the run.",
        "",
        "Versions: " + ", ".join(f"{n} {v}" for n, v in figures["versions"].items()) + ". "
        "nginx-large is nginx with 64 KiB proxy buffers and no temporary files.",
        "",
    ]
    if summary := verdicts(figures, scenarios):
        lines += ["## Summary", "", *summary, ""]
    for scenario in scenarios:
        lines += [f"## {scenario.title}", "", *table(figures["samples"][scenario.name]), ""]
    if any(figures["calls"].values()):
        lines += [
            "## System calls per request", "",
            "Under `strace -c -f`, in runs of their own; tracing slows a proxy down, so it waits less "
            "often than in the runs above.", "",
            "| scenario | proxy | requests | calls |", "|---|---|--:|---|",
        ]
        for scenario in scenarios:
            for name, counted in figures["calls"].items():
                if seen := counted.get(scenario.name):
                    calls = sorted(seen["calls"].items(), key=lambda call: -call[1])
                    shown = ", ".join(f"{call} {each:.2f}" for call, each in calls if each >= 0.005)
                    lines.append(f"| {scenario.name} | {name} | {seen['requests']} | {shown} |")
        lines.append("")
    if figures.get("memory"):
        lines += ["## Memory after the runs", "", "| proxy | RSS MiB | PSS MiB |", "|---|--:|--:|"]
        for name, (rss, pss) in figures["memory"].items():
            lines.append(f"| {name} | {rss / MIB:.1f} | {pss / MIB:.1f} |")
        lines.append("")
    if figures.get("idle"):
        lines += [
            "## Idle keep-alive connections", "",
            "A fresh process, 200 requests to warm it, then connections that ask once and stay.", "",
            "| proxy | connections | RSS MiB before | PSS MiB before | PSS MiB with them "
            "| bytes each | CPU µs per second |",
            "|---|--:|--:|--:|--:|--:|--:|",
        ]
        for name, seen in figures["idle"].items():
            lines.append(
                f"| {name} | {seen['connections']} | {seen['base'][0] / MIB:.1f} "
                f"| {seen['base'][1] / MIB:.1f} | {seen['with_idle'][1] / MIB:.1f} "
                f"| {seen['bytes_each']:.0f} | {seen['cpu_us_per_second']:.0f} |"
            )
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def faults(figures):
    """What makes samples worthless, one line each."""
    return [
        f"{scenario}, {name}, round {turn}: {'; '.join(sample['faults'])}"
        for scenario, peers in figures["samples"].items()
        for name, samples in peers.items()
        for turn, sample in enumerate(samples, 1)
        if sample["faults"]
    ]
