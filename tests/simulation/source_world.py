"""A small world around one source: its log, workers that read it into a journal, the core that judges the journal.

Everything that may go wrong between them goes wrong by a seeded choice. Only `monitor.sources` and `streams.openings.place`
are the real thing. Called by `test_sources_model`.
"""

import random
from hashlib import sha256
from typing import NamedTuple

from monitor.contracts.control import Rewind
from monitor.contracts.journal import SourceOpenedEntry
from monitor.sources import Judgement, Notice, Sources
from streams.control import AskedRewind
from streams.openings import NEVER_REWOUND, Opening, Resume, place

NAME = "withdrawals/0"
SESSION_MS = 6_000


class Copy(NamedTuple):
    """A record's entry in the journal."""

    start: int
    offset: int
    clock_ms: int
    sha256: str


class Opened(NamedTuple):
    """A worker's `source-opened` in the journal."""

    opening: Opening
    clock_ms: int


Batch = list[Copy | Opened]


class Log:
    """The source: records at rising offsets, with holes where compaction or transactions left them; old ones may be deleted."""

    def __init__(self, incarnation: int = 0) -> None:
        self.offsets: list[int] = []
        self.ever: list[int] = []
        self.start = 0
        self.end = 0
        self.incarnation = incarnation

    def produce(self, rng: random.Random) -> None:
        for _ in range(rng.randint(1, 12)):
            self.end += rng.choice((0, 0, 0, 0, 1, 3))
            self.offsets.append(self.end)
            self.ever.append(self.end)
            self.end += 1

    def trim(self, rng: random.Random) -> None:
        self.start = rng.randint(self.start, self.end)
        self.offsets = [offset for offset in self.offsets if offset >= self.start]

    def digest(self, offset: int) -> str | None:
        return sha256(f"{self.incarnation}:{offset}".encode()).hexdigest() if offset in self.offsets else None


class Worker:
    """Reads the log from where it opened it; `queue` is produced but neither acknowledged nor failed."""

    def __init__(self, opening: Opening, clock_ms: int) -> None:
        self.queue: list[tuple[int, Batch]] = []
        self.open(opening, clock_ms)

    def open(self, opening: Opening, clock_ms: int) -> None:
        self.position = self.acknowledged = opening.position
        self.rewound = opening.rewound
        self.failed = False
        self.queue.append((self.position, [Opened(opening, clock_ms)]))

    def read(self, log: Log, clock_ms: int, count: int) -> None:
        """Take up to `count` records, of which each entry says from where on nothing was met before it."""
        batch: Batch = []
        for offset in [offset for offset in log.offsets if offset >= self.position][:count]:
            batch.append(Copy(self.position, offset, clock_ms, log.digest(offset) or ""))
            self.position = offset + 1
        if batch:
            self.queue.append((self.position, batch))


class World:
    """One history. Each method that starts with an underscore is something that may happen."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.log = Log()
        self.journal: Batch = []
        self.folded = 0
        self.sources = Sources()
        self.accepted: list[int] = []
        self.gaps: list[range] = []
        self.notices: list[Notice] = []
        self.rewinds: list[Rewind] = []
        self.committed = Resume(None, NEVER_REWOUND)
        self.clock_ms = 1_000_000
        self.zombies: list[Worker] = []
        self.happened: list[str] = []
        self.owner = self._new_worker()

    # What happens

    def step(self) -> None:
        """One thing happens, likely things more often."""
        self.clock_ms += self.rng.randint(0, 400)
        likely = [self._produce] * 6 + [self._read] * 12 + [self._land] * 12 + [self._commit] * 4 + [self._fold] * 8 + [self._obey] * 3
        seldom = [self._trim, self._fail, self._kill, self._pause, self._stop, self._zombie_reads, self._zombie_lands, self._zombie_ends]
        happening = self.rng.choice(likely + 2 * seldom)
        self.happened.append(happening.__name__)
        happening()

    def _produce(self) -> None:
        self.log.produce(self.rng)

    def _trim(self) -> None:
        self.log.trim(self.rng)

    def _read(self) -> None:
        worker = self.owner
        if worker.failed:
            self._kill()
        elif worker.position < self.log.start:
            worker.open(self._plan(Resume(worker.position, worker.rewound)), self.clock_ms)
        else:
            worker.read(self.log, self.clock_ms, self.rng.randint(1, 20))

    def _land(self) -> None:
        self._land_one(self.owner)

    def _land_one(self, worker: Worker) -> None:
        if worker.queue:
            position, batch = worker.queue.pop(0)
            self.journal.extend(batch)
            if not worker.failed:
                worker.acknowledged = position

    def _fail(self) -> None:
        """A batch fails; those behind it may still land. The worker stops at its first failure."""
        if self.owner.queue:
            self.owner.queue.pop(self.rng.randrange(len(self.owner.queue)))
            self.owner.failed = True
            for _ in range(self.rng.randint(0, len(self.owner.queue))):
                self._land_one(self.owner)

    def _commit(self) -> None:
        """After acknowledgement, by the owner only: the group refuses a zombie's."""
        if not self.owner.failed and not any(isinstance(first, Opened) for _, batch in self.owner.queue for first in batch[:1]):
            self.committed = Resume(self.owner.acknowledged, self.owner.rewound)

    def _kill(self) -> None:
        for _ in range(self.rng.randint(0, len(self.owner.queue))):
            self._land_one(self.owner)
        self.clock_ms += SESSION_MS
        self.owner = self._new_worker()

    def _pause(self) -> None:
        """SIGSTOP past the session: somebody else takes over, and one day it wakes up."""
        self.zombies.append(self.owner)
        self.clock_ms += SESSION_MS
        self.owner = self._new_worker()

    def _stop(self) -> None:
        """A clean end, as on SIGTERM."""
        while self.owner.queue:
            self._land_one(self.owner)
        self._commit()
        self.owner = self._new_worker()

    def _zombie_reads(self) -> None:
        if self.zombies:
            zombie = self.rng.choice(self.zombies)
            if zombie.position >= self.log.start and not zombie.failed:
                zombie.read(self.log, self.clock_ms, self.rng.randint(1, 50))

    def _zombie_lands(self) -> None:
        if self.zombies:
            self._land_one(self.rng.choice(self.zombies))

    def _zombie_ends(self) -> None:
        """It notices that it lost the source; what it had in flight lands or doesn't."""
        if self.zombies:
            zombie = self.zombies.pop(self.rng.randrange(len(self.zombies)))
            for _ in range(self.rng.randint(0, len(zombie.queue))):
                self._land_one(zombie)

    def _obey(self) -> None:
        """The owner learns of the newest rewind; what it has in flight lands first."""
        asked = self._asked()
        owner = self.owner
        if asked is None or owner.failed or asked.control_offset <= owner.rewound:
            return
        while owner.queue:
            self._land_one(owner)
        opening = self._plan(Resume(owner.position, owner.rewound))
        if opening.why == "rewound":
            owner.open(opening, self.clock_ms)
        else:
            owner.rewound = opening.rewound

    def _fold(self) -> None:
        """The core folds some more of the journal."""
        until = min(len(self.journal), self.folded + self.rng.randint(1, 60))
        for entry in self.journal[self.folded : until]:
            self._judge(entry)
        self.folded = until

    # How the parts act

    def _new_worker(self) -> Worker:
        return Worker(self._plan(self.committed), self.clock_ms)

    def _asked(self) -> AskedRewind | None:
        return AskedRewind(len(self.rewinds) - 1, self.rewinds[-1]) if self.rewinds else None

    def _plan(self, resume: Resume) -> Opening:
        opening = place(resume, self._asked(), self.log.start, self.log.end)
        return opening._replace(previous_sha256=self.log.digest(opening.position - 1))

    def _judge(self, entry: Copy | Opened) -> None:
        if isinstance(entry, Opened):
            said = entry.opening
            notices = self.sources.open(
                SourceOpenedEntry(
                    clock_ms=entry.clock_ms, source=NAME, position=said.position, log_start=said.log_start, log_end=said.log_end,
                    why=said.why, writer="w", previous_sha256=said.previous_sha256,
                )
            )  # fmt: skip
            for notice in notices:
                self._hear(notice)
            return
        judgement = self.sources.judge(NAME, entry.start, entry.offset, entry.clock_ms)
        if judgement is Judgement.ACCEPTED:
            self.sources.remember_digest(NAME, entry.sha256)
            self.accepted.append(entry.offset)
        elif judgement is Judgement.HOLE:
            hole = self.sources.hole(NAME)
            if hole is not None:
                self._hear(hole)

    def _hear(self, notice: Notice) -> None:
        if not self.notices and not self.accepted and notice.what == "source-opened":
            self.gaps.append(range(notice.first_offset or 0))  # what was deleted before anybody ever looked
        self.notices.append(notice)
        if notice.what == "gap":
            assert notice.first_offset is not None
            assert notice.last_offset is not None
            self.gaps.append(range(notice.first_offset, notice.last_offset + 1))
        if notice.what == "hole" and notice.expected_offset is not None:
            self.rewinds.append(Rewind(source=NAME, offset=notice.expected_offset, asked_by="core", asked_at_ms=self.clock_ms, reason=notice.detail))

    # How it ends

    def settle(self) -> None:
        """Peace: one worker that doesn't die, and enough time."""
        while self.zombies:
            self._zombie_ends()
        self._kill()
        for _ in range(40):
            self._read()
            while self.owner.queue:
                self._land_one(self.owner)
            self._commit()
            while self.folded < len(self.journal):
                self._fold()
            self._obey()

    def missing(self) -> list[int]:
        """Records that neither had their effect nor lie in a declared gap."""
        seen = set(self.accepted)
        return [offset for offset in self.log.ever if offset not in seen and not any(offset in gap for gap in self.gaps)]
