"""Writes bike-share.json, the city of the world bike-share: make_city.py > bike-share.json.

It is made up, fitted to nothing. 60 stations stand in a disc of 8 km. Each is partly where people live and partly where they work,
the more the nearer to the middle; a morning wave goes from homes to work, an evening wave back, and a few trips go anywhere all day.
The ground rises to the north, and more people ride down than up: the south fills and the north empties.
"""
import json
import math
import random

STATIONS, RADIUS, SPACING = 60, 4.0, 0.72
TRIPS = 3000  # wanted in a day
UPHILL = 0.04  # how much more departures than arrivals at the northern end, and less at the southern


def wave(hour, centre, width):
    return math.exp(-0.5 * ((hour + 0.5 - centre) / width) ** 2)


def places(rng):
    out = []
    while len(out) < STATIONS:
        x, y = rng.uniform(-RADIUS, RADIUS), rng.uniform(-RADIUS, RADIUS)
        if math.hypot(x, y) <= RADIUS and all(math.hypot(x - a, y - b) >= SPACING for a, b in out):
            out.append((x, y))
    return out


def main():
    rng = random.Random(2019)
    stations = []
    for i, (x, y) in enumerate(sorted(places(rng), key=lambda p: (-p[1], p[0]))):
        centre = math.exp(-((math.hypot(x, y) / 2.2) ** 2))
        work = min(0.95, max(0.05, 0.1 + 0.8 * centre + rng.uniform(-0.15, 0.15)))
        size = (0.5 + 0.9 * centre) * rng.uniform(0.6, 1.5)
        stations.append({"name": f"station {i + 1}", "x": x, "y": y, "work": work, "size": size})
    departures, arrivals = [], []
    for hour in range(24):
        morning, evening = wave(hour, 8.3, 1.0), wave(hour, 18.5, 1.6)
        day = 0.32 * wave(hour, 14.5, 4.0) + 0.02
        for s in stations:
            home, slope = 1 - s["work"], UPHILL * s["y"] / RADIUS
            s.setdefault("departures", []).append(s["size"] * (1 + slope) * (morning * home + 0.8 * evening * s["work"] + day))
            s.setdefault("arrivals", []).append(s["size"] * (1 - slope) * (morning * s["work"] + 0.8 * evening * home + day))
    scale = TRIPS / sum(sum(s["departures"]) for s in stations)
    for hour in range(24):  # what departs in an hour arrives in it
        leaving, coming = (sum(s[key][hour] for s in stations) for key in ("departures", "arrivals"))
        for s in stations:
            s["departures"][hour] *= scale
            s["arrivals"][hour] *= scale * leaving / coming
    lines = []
    for s in stations:
        docks = 2 * round(9 + 4.5 * s["size"])
        lines.append(json.dumps({"name": s["name"], "x": round(s["x"], 2), "y": round(s["y"], 2), "docks": docks, "bicycles": docks // 2,
                                 "departures": [round(r, 2) for r in s["departures"]],
                                 "arrivals": [round(r, 2) for r in s["arrivals"]]}))
    trucks = [{"x": round(3 * math.sin(math.pi * k / 3), 2), "y": round(3 * math.cos(math.pi * k / 3), 2)} for k in range(6)]
    print('{\n "stations": [\n  ' + ",\n  ".join(lines) + '\n ],\n "trucks": ' + json.dumps(trucks) +
          ',\n "truck_capacity": 22,\n "truck_radius": 3.5,\n "levels": [0.25, 0.75]\n}')


if __name__ == "__main__":
    main()
