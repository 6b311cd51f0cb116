"""A measured figure as scripts/bench reports it: the median of interleaved rounds, their spread,
the same for the peers that ran in the same rounds, and the goal."""

import statistics
from dataclasses import dataclass, field


def median(samples):
    return round(statistics.median(samples), 3)


@dataclass
class Figure:
    bench: str
    metric: str
    unit: str
    better: str                                   # higher or lower
    goal: float | None = None
    published: dict = field(default_factory=dict)  # peers whose figure was not measured here
    samples: list = field(default_factory=list)
    peer_samples: dict = field(default_factory=dict)

    def add(self, sample, **peers):
        self.samples.append(sample)
        for name, value in peers.items():
            self.peer_samples.setdefault(name, []).append(value)

    def met(self):
        if self.goal is None:
            return None
        if any(sample is None for sample in self.samples) or not self.samples:
            return False
        ours = median(self.samples)
        return ours >= self.goal if self.better == "higher" else ours <= self.goal

    def as_json(self):
        complete = bool(self.samples) and None not in self.samples
        peers = {name: median(values) for name, values in self.peer_samples.items()}
        return {"bench": self.bench, "metric": self.metric, "unit": self.unit,
                "better": self.better, "ours": median(self.samples) if complete else None,
                "peers": self.published | peers,
                "goal": None if self.goal is None else round(self.goal, 3), "met": self.met(),
                "rounds": len(self.samples),
                "spread": [min(self.samples), max(self.samples)] if complete else None,
                "peer_spread": {n: [min(v), max(v)] for n, v in self.peer_samples.items()}}
