"""The picture of growth."""

import math

WIDTH, HEIGHT, LEFT, BOTTOM = 720, 400, 70, 50
CURVES = {
    "CPU per poll": ("#1f77b4", lambda row: row["cpu_ms_per_poll"]),
    "gzip scrape, CPU per account": ("#d62728", lambda row: row["gzip"]["net_ms"]["p50"] / row["accounts"]),
    "plain scrape, CPU per account": ("#2ca02c", lambda row: row["plain"]["net_ms"]["p50"] / row["accounts"]),
    "resident memory per account": ("#9467bd", lambda row: row["resident_mb"] / row["accounts"]),
}


def drawn(sizes):
    """Cost per account or poll against the size of the fleet, each curve relative to its value at 1,000 accounts, or at
    the largest fleet if none is that large."""
    standard = next((row for row in sizes if row["accounts"] >= 1_000), sizes[-1])
    values = {name: [(row["accounts"], of(row) / of(standard)) for row in sizes] for name, (_, of) in CURVES.items()}
    everything = [value for points in values.values() for _, value in points]
    low, high = math.log10(min(everything + [0.5])), math.log10(max(everything + [2]))
    first, last = math.log10(sizes[0]["accounts"]), math.log10(sizes[-1]["accounts"])
    x = lambda accounts: LEFT + (math.log10(accounts) - first) / ((last - first) or 1) * (WIDTH - LEFT - 30)
    y = lambda value: HEIGHT - BOTTOM - (math.log10(value) - low) / (high - low) * (HEIGHT - BOTTOM - 30)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
           f'<text x="{LEFT}" y="18">Cost per account or poll, relative to {standard["accounts"]:,} accounts (both axes logarithmic)</text>']
    for row in sizes:
        at = x(row["accounts"])
        out.append(f'<line x1="{at:.1f}" y1="30" x2="{at:.1f}" y2="{HEIGHT - BOTTOM}" stroke="#ddd"/>'
                   f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{row["accounts"]:,}</text>')
    for mark in [0.1, 0.2, 0.5, 1, 1.5, 2, 5, 10, 20, 50]:
        if low <= math.log10(mark) <= high:
            out.append(f'<line x1="{LEFT}" y1="{y(mark):.1f}" x2="{WIDTH - 30}" y2="{y(mark):.1f}" stroke="{"#888" if mark == 1 else "#ddd"}"/>'
                       f'<text x="{LEFT - 8}" y="{y(mark) + 4:.1f}" text-anchor="end">{mark}×</text>')
    for place, (name, points) in enumerate(values.items()):
        colour = CURVES[name][0]
        path = " ".join(f"{x(accounts):.1f},{y(value):.1f}" for accounts, value in points)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out.extend(f'<circle cx="{x(accounts):.1f}" cy="{y(value):.1f}" r="3" fill="{colour}"/>' for accounts, value in points)
        out.append(f'<text x="{LEFT + 190 + 240 * (place % 2)}" y="{48 + 16 * (place // 2)}" fill="{colour}">{name}</text>')
    out.append(f'<text x="{WIDTH // 2}" y="{HEIGHT - 12}" text-anchor="middle">accounts</text></svg>')
    return "\n".join(out) + "\n"
